"""Which execution providers of ONNX Runtime a model gets: pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

CPU: Final = "CPUExecutionProvider"
#: Providers by accelerator, the first is meant; what it cannot run falls to those behind it.
_PROVIDERS: Final[dict[str, tuple[str, ...]]] = {
    "cpu": (CPU,),
    "cuda": ("CUDAExecutionProvider", CPU),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU),
}
ACCELERATORS: Final = tuple(_PROVIDERS)


class Choice(NamedTuple):
    """What to ask the runtime for.

    Attributes:
        providers: In order of preference.
        missing: Why the accelerator that was asked for is not among them; empty if it is.
    """

    providers: tuple[str, ...]
    missing: str


def choose(accelerator: str, available: Sequence[str]) -> Choice:
    """Take what was asked for as far as the runtime has it.

    Args:
        accelerator: One of ACCELERATORS.
        available: What the runtime was built with.
    """
    wanted = _PROVIDERS[accelerator]
    found = tuple(name for name in wanted if name in available)
    if wanted[0] in found:
        return Choice(found, "")
    return Choice((CPU,), f"this onnxruntime has {', '.join(available)} only")
