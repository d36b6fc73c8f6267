"""What a model file takes and gives, and whether that is what was declared."""

from collections.abc import Sequence
from typing import Final

import msgspec

from lamplighter_protocol.bundle import FirstDatatype, Runtime, SecondDatatype, TensorSpec
from lamplighter_protocol.errors import LamplighterError

Datatype = FirstDatatype | SecondDatatype

#: Tensors of either side, dimensions of a tensor, and the largest fixed dimension.
MAX_TENSORS: Final = 256
MAX_RANK: Final = 8
MAX_DIMENSION: Final = 2**24


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors of a model file, as its own declarations say."""

    runtime: Runtime
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: tuple[str, ...]
    """Which operators it uses, sorted."""


def checked(signature: Signature) -> Signature:
    """The same, if no shape is absurd.

    Raises:
        LamplighterError: MODEL_FILE_MALFORMED or MODEL_FILE_UNSAFE.
    """
    for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        names = [tensor.name for tensor in tensors]
        if not names or len(set(names)) != len(names) or not all(names):
            raise LamplighterError(
                "MODEL_FILE_MALFORMED", f"The {kind}s have no or equal names: {names[:8]}."
            )
        if len(names) > MAX_TENSORS:
            raise LamplighterError("MODEL_FILE_UNSAFE", f"There are {len(names)} {kind}s.")
        for tensor in tensors:
            if len(tensor.shape) > MAX_RANK or any(
                not (size == -1 or 0 < size <= MAX_DIMENSION) for size in tensor.shape
            ):
                raise LamplighterError(
                    "MODEL_FILE_UNSAFE",
                    f"The {kind} {tensor.name!r} has the shape {list(tensor.shape[:16])}.",
                )
    return signature


def require_fits(
    signature: Signature, *, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Check a file against what a release declares. A free dimension fits any size.

    Raises:
        LamplighterError: MODEL_SIGNATURE_MISMATCH.
    """
    for kind, found, declared in (
        ("input", signature.inputs, inputs),
        ("output", signature.outputs, outputs),
    ):
        by_name = {tensor.name: tensor for tensor in found}
        extra = by_name.keys() - {tensor.name for tensor in declared}
        if kind == "input" and extra:
            raise LamplighterError(
                "MODEL_SIGNATURE_MISMATCH", f"The file also takes {sorted(extra)}."
            )
        for tensor in declared:
            own = by_name.get(tensor.name)
            if own is None or not _fits(own, tensor):
                has = "nothing of that name" if own is None else _describe(own)
                raise LamplighterError(
                    "MODEL_SIGNATURE_MISMATCH",
                    f"The {kind} {tensor.name!r} is declared as {_describe(tensor)}; "
                    f"the file has {has}.",
                )


def _fits(own: TensorSpec, declared: TensorSpec) -> bool:
    return (
        own.datatype == declared.datatype
        and len(own.shape) == len(declared.shape)
        and all(a == b or -1 in {a, b} for a, b in zip(own.shape, declared.shape, strict=True))
    )


def _describe(tensor: TensorSpec) -> str:
    return f"{tensor.datatype} of {list(tensor.shape)}"
