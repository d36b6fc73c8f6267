"""A release of the store, checked and loaded into the process of an application."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lamplighter_agent.app.engine import Engine
from lamplighter_agent.core.state import Installed
from lamplighter_agent.ports.session import DATATYPES, Array
from lamplighter_agent.runtime.golden import read_golden, self_test
from lamplighter_agent.runtime.load import load
from lamplighter_agent.store.blobs import verified_blob
from lamplighter_protocol.bundle import TensorSpec, decode_manifest
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError


class Resident:
    """One loaded release.

    Attributes:
        installed: Which.
    """

    def __init__(self, installed: Installed, engine: Engine) -> None:
        self.installed = installed
        self._engine = engine
        self._inputs = [_Check(spec) for spec in engine.manifest.inputs]

    @property
    def model(self) -> str:
        """The model's name."""
        return self._engine.manifest.model

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Answer a batch and count it.

        Raises:
            LamplighterError: REQUEST_INVALID, INFERENCE_FAILED.
        """
        started_mono = time.perf_counter()
        rows = None
        for check in self._inputs:
            rows = check.rows(inputs.get(check.name), rows)
        if len(inputs) != len(self._inputs):
            raise _invalid(f"The inputs must be {[check.name for check in self._inputs]}.")
        return self._engine.infer(inputs, started_mono)

    def settle(self) -> None:
        """Bin what waits to be counted."""
        self._engine.counting.settle()

    def take(self) -> Counts:
        """The counts since the last time."""
        return self._engine.counting.take()


class _Check:
    """The signature of one input, ready to be compared in the path of a request."""

    def __init__(self, spec: TensorSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._dtype = DATATYPES[spec.datatype]

    def rows(self, array: object, wanted: int | None) -> int:
        """The size of the batch, if the array fits the signature and the other inputs."""
        if not isinstance(array, np.ndarray) or array.dtype != self._dtype:
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise _invalid(f"{self.name!r} is {found}, the model takes arrays of {self._dtype}.")
        shape, fits = array.shape, len(array.shape) == len(self._spec.shape)
        for size, signed in zip(shape, self._spec.shape, strict=False):
            fits = fits and size > 0 and signed in (-1, size)
        if not fits or wanted not in (None, shape[0]):
            raise _invalid(
                f"{self.name!r} has shape {shape}, the model takes {self._spec.shape}, all inputs "
                "with one size of batch."
            )
        return int(shape[0])


def _invalid(sentence: str) -> LamplighterError:
    return LamplighterError("REQUEST_INVALID", sentence)


def load_resident(blobs: Path, installed: Installed) -> Resident:
    """Check the files of a release, load it and let it answer its golden inputs.

    The worker did the same, but an application may have another version of the runtime.

    Args:
        blobs: The root of the agent's store; it is only read.
        installed: Which release.

    Raises:
        LamplighterError: STORE_CORRUPT, MODEL_LOAD_FAILED, GOLDEN_MISMATCH.
    """
    manifest = decode_manifest(verified_blob(blobs, installed.manifest_sha256).read_bytes())
    variant = manifest.variant(installed.variant)
    session = load(variant.runtime, verified_blob(blobs, installed.files[variant.file]))
    engine = Engine(manifest, variant, session, copies=True)
    golden = read_golden(verified_blob(blobs, installed.files[manifest.golden.file]))
    self_test(engine, manifest, variant, golden)
    return Resident(installed, engine)
