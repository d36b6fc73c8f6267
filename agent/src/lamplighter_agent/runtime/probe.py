"""Which runtimes really work here: `python -m lamplighter_agent.runtime.probe` prints JSON.

An import is not proof: tflite-runtime beside NumPy 2 imports and then fails at its first
interpreter. So each runtime has to answer with a model of one operator, in a process of its own: a
native library that is built for another processor takes its process with it (onnxruntime 1.21 on
the Raspberry Pi 4 does), but not the runtime that works.
"""

import base64
import json
import subprocess
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
_TIMEOUT_S: Final = 25.0
_MODELS: Final[dict[Runtime, tuple[str, float]]] = {
    "onnxruntime": (_IDENTITY_ONNX, 1.0),
    "litert": (_ADD_LITERT, 2.0),
}


def probe(runtime: Runtime) -> str | None:
    """The version of a runtime that gives the right answer in this process, else None."""
    model, wanted = _MODELS[runtime]
    try:
        session = load(runtime, base64.b64decode(model))
        answer = session.run({"x": np.ones(1, dtype=np.float32)})["y"]
    except (LamplighterError, KeyError):
        return None
    version: str = import_module(RUNTIMES[runtime][0]).VERSION
    return version if answer.tolist() == [wanted] else None


def probe_all() -> dict[str, str]:
    """Version by runtime, only of those that work; each is tried in a process of its own."""
    working: dict[str, str] = {}
    for runtime in _MODELS:
        command = [sys.executable, "-m", "lamplighter_agent.runtime.probe", runtime]
        try:
            child = subprocess.run(
                command, stdout=subprocess.PIPE, timeout=_TIMEOUT_S, check=True, text=True
            )
            working |= json.loads(child.stdout)
        except (subprocess.SubprocessError, ValueError):
            sys.stderr.write(f"{runtime} does not work here\n")
    return working


def main() -> None:
    """Print what works: of the runtimes that are named, in this process; else of all."""
    named = [runtime for runtime in _MODELS if runtime in sys.argv[1:]]
    here = {runtime: probe(runtime) for runtime in named}
    found = {name: version for name, version in here.items() if version} if named else probe_all()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
