"""The bundle manifest, `bundle.json` (design 3.1): all that a release is, in one document."""

import math
import re
from typing import Any, Final, Literal, get_args

import msgspec

from lamplighter_protocol.blobs import BlobRef
from lamplighter_protocol.canonical import decode, encode
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_MANIFEST_BYTES, Name, Release, Sha256

FORMAT: Final = 1
TENSOR_TYPES_2: Final = "tensor-types-2"

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

Runtime = Literal["onnxruntime", "litert"]
#: Tensor types in the words of the Open Inference Protocol; BYTES are strings in UTF-8.
FirstDatatype = Literal["FP32", "FP64", "INT64", "INT32", "UINT8", "BOOL"]
#: Those that a bundle may only use if it names the capability `tensor-types-2`.
SecondDatatype = Literal["FP16", "INT8", "INT16", "UINT16", "UINT32", "UINT64", "BYTES"]
#: Scalar summaries of an image column; lamplighter_protocol.summaries computes them.
ImageSummary = Literal["brightness", "contrast", "sharpness"]


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of the served signature, in the words of the Open Inference Protocol."""

    name: str
    datatype: FirstDatatype | SecondDatatype
    shape: tuple[int, ...]
    """-1 marks a variable dimension; the first is the batch."""


class ImageInput(msgspec.Struct, frozen=True, kw_only=True):
    """How the input tensor of a vision model is to be read as grey images."""

    tensor: str
    height: int
    width: int
    white: float
    """The value of full brightness; 0 is black."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """Something observed of each input row, and the signed bins in which it is counted.

    A numeric column has ascending `edges`: bin i holds edges[i] <= x < edges[i+1].
    A category column has `categories`; anything else is counted as other.
    """

    name: str
    kind: Literal["numeric", "category"]
    tensor: str
    index: int | None = None
    """The position in a row of the tensor; None for a summary of the whole image."""
    summary: ImageSummary | None = None
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "numeric":
            ascending = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
            if len(self.edges) < 2 or not ascending or not all(map(math.isfinite, self.edges)):
                raise ValueError(f"column {self.name!r} needs two or more finite ascending edges")
        elif not self.categories or len(set(self.categories)) != len(self.categories):
            raise ValueError(f"column {self.name!r} needs distinct categories")
        if (self.index is None) == (self.summary is None):
            raise ValueError(f"column {self.name!r} needs an index or a summary, not both")

    @property
    def count_slots(self) -> int:
        """Numeric: below, the bins, above, null. Category: the known ones, other, null."""
        return len(self.edges) + 2 if self.kind == "numeric" else len(self.categories) + 2


class ClassOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What a classifier answers, and how predicted class x confidence is counted."""

    label_tensor: str
    probability_tensor: str
    labels: tuple[str, ...]
    confidence_edges: tuple[float, ...]
    """Ascending, from 0 to 1; the last bin includes 1."""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One form of the model, of which a device runs one; the name tells the recipe."""

    name: Name
    runtime: Runtime
    file: str
    machines: tuple[str, ...] = ()
    """Processor types (`platform.machine()`) that may run it; empty means all."""
    tolerance_abs: float = 1e-4
    """How far a probability may differ on the golden inputs."""
    min_agreement: float = 1.0
    """The share of golden rows whose label must be equal."""


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs with known outputs: an uncompressed .npz with one array per tensor name.

    Expected outputs are stored per variant as `<variant>/<tensor>`.
    """

    file: str
    rows: int


class HealthPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a device goes back without asking anyone. All limits are signed."""

    load_timeout_s: float = 30.0
    probation_s: float = 60.0
    probation_max_s: float = 3600.0
    min_requests: int = 0
    """Live requests needed before a release may be committed."""
    latency_p99_budget_ms: float = 1000.0
    latency_min_requests: int = 50
    memory_budget_mb: float = 512.0
    max_error_share: float = 0.05
    errors_min_requests: int = 20
    max_crashes: int = 2
    output_shift_max: float = 0.6
    """Total variation distance between live and reference predictions, 0 to 1.

    A device goes back when the shift is larger than this beyond doubt (agent core.health)."""
    output_shift_min_requests: int = 50


class VariantParity(msgspec.Struct, frozen=True, kw_only=True):
    """How far one variant is from the estimator that all were made of."""

    variant: Name
    recipe: str
    """How it was quantized; `float` if it was not."""
    agreement: float
    """The share of rows with the estimator's label."""
    max_error: float
    """The largest |answered - wanted| / max(1, |wanted|) of any number."""
    flips: dict[str, int]
    """Rows whose label changed, by the estimator's label."""


class ParityCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What the variants were compared with before anybody signed, and what came out.

    Only what comes out the same every time; times stand in `evidence.json`.
    """

    estimator: str
    """Its classes, in the order of the pipeline."""
    rows: int
    rows_sha256: Sha256
    """Of the rows that were asked, as an uncompressed .npz of the input tensors."""
    variants: tuple[VariantParity, ...]


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the release comes from; enough to build it again."""

    dataset: str
    dataset_sha256: Sha256
    code_commit: str
    parameters: dict[str, Any]
    seed: int
    lock_sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`bundle.json`."""

    format: int
    requires: tuple[str, ...]
    """Capabilities that an agent must have; it refuses what it cannot honour."""
    model: Name
    release: Release
    task: Literal["classification"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    image: ImageInput | None
    columns: tuple[Column, ...]
    answer: ClassOutput
    variants: tuple[Variant, ...]
    files: dict[str, BlobRef]
    golden: Golden
    reference: Counts
    health: HealthPolicy
    lineage: Lineage
    parity: ParityCertificate | msgspec.UnsetType = msgspec.UNSET
    """Every variant's, where the model was converted from an estimator."""

    def __post_init__(self) -> None:
        tensors = {spec.name for spec in self.inputs}
        named = {variant.file for variant in self.variants} | {self.golden.file}
        if not self.variants or len({v.name for v in self.variants}) != len(self.variants):
            raise ValueError("a bundle needs variants with distinct names")
        if missing := named - self.files.keys():
            raise ValueError(f"files named but not listed: {sorted(missing)}")
        if unsafe := [name for name in self.files if _FILE_NAME.fullmatch(name) is None]:
            raise ValueError(f"file names must be plain: {unsafe}")
        if unknown := {column.tensor for column in self.columns} - tensors:
            raise ValueError(f"columns read unknown tensors: {sorted(unknown)}")
        types = {spec.datatype for spec in (*self.inputs, *self.outputs)}
        if not types <= set(get_args(FirstDatatype)) and TENSOR_TYPES_2 not in self.requires:
            raise ValueError(f"tensors of {sorted(types)} need the capability {TENSOR_TYPES_2}")
        if self.parity is not msgspec.UNSET:
            certified = sorted(found.variant for found in self.parity.variants)
            if certified != sorted(variant.name for variant in self.variants):
                raise ValueError(f"the parity certificate is of other variants: {certified}")
        self.reference.check_shape(self)

    def variant(self, name: str) -> Variant:
        """The variant called `name`.

        Raises:
            LamplighterError: VARIANT_UNSUPPORTED.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise LamplighterError(
            "VARIANT_UNSUPPORTED", f"{self.model} release {self.release} has no variant {name!r}."
        )

    def blobs_for(self, variant: str) -> dict[str, BlobRef]:
        """The files a device needs to run one variant, by name."""
        wanted = (self.variant(variant).file, self.golden.file)
        return {name: self.files[name] for name in wanted}


#: What every bundle needs.
COMMON_CAPABILITIES: Final = frozenset(
    {"classification", "image-summaries", "golden-npz", "health-policy-1"}
)
#: What this version of the protocol can honour.
CAPABILITIES: Final = COMMON_CAPABILITIES | {TENSOR_TYPES_2}


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes of a manifest."""
    return encode(manifest)


def decode_manifest(raw: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, or CAPABILITY_MISSING if it
            needs a format or capability that this version does not have.
    """
    head = decode(raw, _Head, what="The bundle manifest", max_bytes=MAX_MANIFEST_BYTES)
    missing = sorted(set(head.requires) - CAPABILITIES)
    if head.format != FORMAT or missing:
        raise LamplighterError(
            "CAPABILITY_MISSING", f"The bundle has format {head.format} and needs {missing}."
        )
    return decode(raw, Manifest, what="The bundle manifest", max_bytes=MAX_MANIFEST_BYTES)


class _Head(msgspec.Struct):
    format: int
    requires: tuple[str, ...]
