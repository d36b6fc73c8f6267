"""One inference on zeros: a file that loads and does not answer as it says is refused."""

from typing import Final

import numpy as np

from lamplighter_converters.admit.signature import Datatype, Signature
from lamplighter_converters.litert.session import LitertSession
from lamplighter_converters.session import Array, OnnxSession
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

#: What a free dimension is for the probe; the batch among them.
_FREE: Final = 1
_DTYPES: Final[dict[Datatype, str]] = {
    "FP32": "float32",
    "FP64": "float64",
    "FP16": "float16",
    "INT64": "int64",
    "INT32": "int32",
    "INT16": "int16",
    "INT8": "int8",
    "UINT64": "uint64",
    "UINT32": "uint32",
    "UINT16": "uint16",
    "UINT8": "uint8",
    "BOOL": "bool",
    "BYTES": "str",
}


def probe(raw: bytes, signature: Signature) -> None:
    """Load and run a file that was described.

    Raises:
        LamplighterError: MODEL_FILE_UNSUPPORTED if the runtime refuses it,
            MODEL_SIGNATURE_MISMATCH if it answers otherwise than it declares.
    """
    inputs = {tensor.name: _zeros(tensor) for tensor in signature.inputs}
    try:
        session = OnnxSession(raw) if signature.runtime == "onnxruntime" else LitertSession(raw)
        outputs = session.run(inputs)
    except LamplighterError as error:
        raise LamplighterError("MODEL_FILE_UNSUPPORTED", error.sentence) from error
    for tensor in signature.outputs:
        values = outputs[tensor.name]
        if not _answers(values, tensor):
            raise LamplighterError(
                "MODEL_SIGNATURE_MISMATCH",
                f"{tensor.name!r} is declared as {tensor.datatype} of {list(tensor.shape)} and "
                f"answers {values.dtype} of {list(values.shape)}.",
            )


def _zeros(tensor: TensorSpec) -> Array:
    shape = [_FREE if size == -1 else size for size in tensor.shape]
    return np.zeros(shape, _DTYPES[tensor.datatype])


def _answers(values: Array, tensor: TensorSpec) -> bool:
    is_text = tensor.datatype == "BYTES" and values.dtype.kind in "OU"
    return (is_text or values.dtype == np.dtype(_DTYPES[tensor.datatype])) and (
        len(values.shape) == len(tensor.shape)
        and all(a == b or b == -1 for a, b in zip(values.shape, tensor.shape, strict=True))
    )
