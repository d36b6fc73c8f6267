"""Loading a variant with its runtime."""

from importlib import import_module
from pathlib import Path
from typing import Final

from lamplighter_agent.ports.session import Session
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.errors import LamplighterError

#: Module and class by runtime; imported when needed, so that one runtime is enough.
RUNTIMES: Final[dict[Runtime, tuple[str, str]]] = {
    "onnxruntime": ("lamplighter_agent.runtime.onnx", "OnnxSession"),
    "litert": ("lamplighter_agent.runtime.litert", "LitertSession"),
}


def load(runtime: Runtime, model: Path | bytes) -> Session:
    """Load a model.

    Raises:
        LamplighterError: MODEL_LOAD_FAILED, whatever the runtime raises.
    """
    module, name = RUNTIMES[runtime]
    try:
        session: Session = getattr(import_module(module), name)(model)
    except Exception as error:  # hostile files make runtimes raise anything
        raise LamplighterError(
            "MODEL_LOAD_FAILED",
            f"{runtime} cannot load the model: {type(error).__name__}: {error}.",
        ) from error
    return session
