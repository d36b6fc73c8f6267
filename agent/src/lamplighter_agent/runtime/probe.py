"""Which runtimes really work here: `python -m lamplighter_agent.runtime.probe` prints JSON.

An import is not proof: tflite-runtime beside NumPy 2 imports and then fails at its first
interpreter. So each runtime has to answer with a model of one operator. Run as a process of its
own: a broken native library can take the process with it.
"""

import base64
import json
import sys
from importlib import import_module
from typing import Final

import numpy as np

from lamplighter_agent.runtime.load import RUNTIMES, load
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.errors import LamplighterError

#: y = x, made with onnx.helper (opset 17).
_IDENTITY_ONNX: Final = (
    "CAgSADo7ChAKAXgSAXkiCElkZW50aXR5EgVwcm9iZVoPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFC"
    "BAoAEBE="
)
#: y = x + x, made with the flatbuffers schema of LiteRT (ADD, version 1).
_ADD_LITERT: Final = (
    "CAAAAFRGTDPK////FAAAABwAAAAgAAAA/AAAAAMAAAABAAAABAAAAAz///8AAAAAAAAAAAEAAAAUAAAAAAAOABgA"
    "FAAQAAwACAAEAA4AAAAUAAAAHAAAAFwAAABgAAAAZAAAAAUAAABwcm9iZQAAAAEAAAAUAAAAAAAOABQAAAAQAAwA"
    "CwAEAA4AAAAQAAAAAAAACwwAAAAQAAAAgP///wEAAAABAAAAAgAAAAAAAAAAAAAAAQAAAAEAAAABAAAAAAAAAAIA"
    "AAAwAAAABAAAAOT///8IAAAADAAAAAEAAAB5AAAAAQAAAAEAAAAMAAwACAAAAAAABAAMAAAACAAAAAwAAAABAAAA"
    "eAAAAAEAAAABAAAAAQAAAAgAAAAEAAQABAAAAA=="
)
_MODELS: Final[dict[Runtime, tuple[str, float]]] = {
    "onnxruntime": (_IDENTITY_ONNX, 1.0),
    "litert": (_ADD_LITERT, 2.0),
}


def probe() -> dict[Runtime, str]:
    """Version by runtime, only of those that give the right answer."""
    working: dict[Runtime, str] = {}
    for runtime, (model, wanted) in _MODELS.items():
        try:
            session = load(runtime, base64.b64decode(model))
            answer = session.run({"x": np.ones(1, dtype=np.float32)})["y"]
        except (LamplighterError, KeyError):
            continue
        if answer.tolist() == [wanted]:
            working[runtime] = import_module(RUNTIMES[runtime][0]).VERSION
    return working


def main() -> None:
    """Print what works."""
    sys.stdout.write(json.dumps(probe()) + "\n")


if __name__ == "__main__":
    main()
