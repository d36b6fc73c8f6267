"""Loading a variant with its runtime."""

from importlib import import_module
from pathlib import Path
from typing import Final

from lamplighter_agent.ports.session import LoadedModel
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.errors import LamplighterError

#: Module and class by runtime; imported when needed, so that one runtime is enough.
RUNTIMES: Final[dict[Runtime, tuple[str, str]]] = {
    "onnxruntime": ("lamplighter_agent.runtime.onnx", "OnnxSession"),
    "litert": ("lamplighter_agent.runtime.litert", "LitertSession"),
}


def load(runtime: Runtime, model: Path | bytes, accelerator: str = "cpu") -> LoadedModel:
    """Load a model.

    Args:
        runtime: Which runtime.
        model: A file or its content.
        accelerator: What to run it on, where that is there: one of accelerators.ACCELERATORS.

    Raises:
        LamplighterError: MODEL_LOAD_FAILED, whatever the runtime raises.
    """
    module, name = RUNTIMES[runtime]
    try:
        session: LoadedModel = getattr(import_module(module), name)(model, accelerator)
    except Exception as error:  # hostile files make runtimes raise anything
        raise LamplighterError(
            "MODEL_LOAD_FAILED",
            f"{runtime} cannot load the model: {type(error).__name__}: {error}.",
        ) from error
    return session
