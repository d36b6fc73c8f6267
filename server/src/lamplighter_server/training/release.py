"""From a run to a release: convert, quantize, check, pack, and note what was measured."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from lamplighter_converters import golden, reference
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.estimators.task import LABEL, PROBABILITIES
from lamplighter_converters.pack import Bundle, pack
from lamplighter_converters.parity.compare import Tolerance
from lamplighter_converters.report import Report
from lamplighter_converters.session import Outputs, run
from lamplighter_converters.variants import Declared, Variants, make_variants
from lamplighter_protocol.bundle import (
    ClassOutput,
    Golden,
    HealthPolicy,
    Lineage,
    TensorSpec,
    Variant,
)
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_server.training.dataset import load
from lamplighter_server.training.run import Run, measure

Array = npt.NDArray[Any]

FLOAT: Final = "onnx-fp32"
INT8: Final = "onnx-int8"
CONFIDENCE_BINS: Final = 20
#: Rounding may differ between chips; int8 kernels differ more than float ones.
TOLERANCE_ABS: Final = {FLOAT: 1e-3, INT8: 5e-2}
GOLDEN_FILE: Final = "golden.npz"


@dataclass(frozen=True)
class BuiltRelease:
    """A bundle, and what was measured on the way."""

    bundle: Bundle
    evidence: dict[str, Any]

    @property
    def evidence_raw(self) -> bytes:
        """The canonical bytes of `evidence.json`."""
        return encode(self.evidence)


def build_release(done: Run, release: int, health: HealthPolicy | None = None) -> BuiltRelease:
    """Make the next release of the run's model.

    The reference is counted on the training rows. Measured on the digits, their confidences lie
    within 0.07 (total variation) of held-out ones on average, where two samples of that size differ
    by 0.03 to 0.06. Answers by cross-validated networks, which have seen fewer rows, lie 0.26 to
    0.40 off for the baseline, and a calibration split costs it four points of accuracy.

    Args:
        done: The run.
        release: The number that it will be published under.
        health: How devices shall judge it; the experiment's policy if None.

    Raises:
        LamplighterError: CONVERSION_REFUSED or PARITY_REFUSED.
    """
    train, held_out, image = done.train, done.held_out, done.train.image
    made = _variants(done)
    answers, files = made.answers, dict(made.files)
    rows = golden.choose_rows(held_out.labels, done.probabilities)
    files[GOLDEN_FILE] = _golden(done, answers, rows)
    answer = ClassOutput(
        label_tensor=LABEL,
        probability_tensor=PROBABILITIES,
        labels=train.classes,
        confidence_edges=tuple(np.linspace(0, 1, CONFIDENCE_BINS + 1).tolist()),
    )
    columns = reference.image_columns(image, train.images)
    counted = run(files[f"{INT8}.onnx"], {image.tensor: train.images})[PROBABILITIES]
    bundle = pack(
        files,
        model=done.experiment.model,
        release=release,
        task="classification",
        inputs=(TensorSpec(name=image.tensor, datatype="FP32", shape=(-1, train.images.shape[1])),),
        outputs=(
            TensorSpec(name=LABEL, datatype="INT64", shape=(-1,)),
            TensorSpec(name=PROBABILITIES, datatype="FP32", shape=(-1, len(train.classes))),
        ),
        image=image,
        columns=columns,
        answer=answer,
        variants=tuple(
            Variant(
                name=name,
                runtime="onnxruntime",
                file=f"{name}.onnx",
                tolerance_abs=TOLERANCE_ABS[name],
                min_agreement=0.95,
            )
            for name in answers
        ),
        golden=Golden(file=GOLDEN_FILE, rows=len(rows)),
        reference=reference.count_reference(
            columns, answer, image, inputs={image.tensor: train.images}, probabilities=counted
        ),
        health=health or done.experiment.health,
        lineage=Lineage(
            dataset=train.name,
            dataset_sha256=load(train.name).sha256,
            code_commit=_commit(),
            parameters={**done.parameters, "polarity": done.experiment.polarity},
            seed=done.experiment.seed,
            lock_sha256=_lock_sha256(),
        ),
        parity=made.report.certificate(),
    )
    return BuiltRelease(bundle, _evidence(done, bundle, answers, made.report))


def _variants(done: Run) -> Variants:
    """Both variants: which of them a device runs is decided where it is known what it has."""
    tensor, rows = done.train.image.tensor, done.train.images
    return make_variants(
        done.estimator,
        Inputs.matrix(tensor, rows.shape[1]),
        calibration=rows,
        held_out=done.held_out.images,
        declared=Declared(
            exact=Tolerance(min_agreement=1.0, max_error=TOLERANCE_ABS[FLOAT]),
            int8=Tolerance(min_agreement=done.experiment.min_agreement, max_error=1.0),
            recipes={"onnxruntime": "static"},
        ),
    )


def _golden(done: Run, answers: dict[str, Outputs], rows: Array) -> bytes:
    arrays = {done.train.image.tensor: done.held_out.images[rows]}
    for name, outputs in answers.items():
        arrays |= {f"{name}/{tensor}": values[rows] for tensor, values in outputs.items()}
    return golden.write_npz(arrays)


def _evidence(
    done: Run, bundle: Bundle, answers: dict[str, Outputs], report: Report
) -> dict[str, Any]:
    held_out = done.held_out.labels
    return {
        "model": bundle.manifest.model,
        "release": bundle.manifest.release,
        "bundle_sha256": bundle.sha256,
        "bundle_size_bytes": bundle.size_bytes,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "cross_validation": {
            "folds": list(done.fold_accuracies),
            "mean_accuracy": float(np.mean(done.fold_accuracies)),
        },
        "estimator": done.metrics,
        "variants": {
            name: {
                **measure(held_out, outputs[PROBABILITIES]),
                "size_bytes": len(bundle.files[f"{name}.onnx"]),
            }
            for name, outputs in answers.items()
        },
        # What `device provenance` reads of releases of every age. Probabilities are at most 1, so
        # the largest error is an absolute one.
        "parity": [
            {
                "variant": one.name,
                "rows": one.parity.rows,
                "agreement": one.parity.agreement,
                "max_abs_difference": one.parity.max_error,
                "flips": one.parity.flips,
            }
            for one in report.variants
        ],
        "conversion": msgspec.to_builtins(report),
        "training_seconds": round(done.seconds, 3),
    }


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _lock_sha256() -> str:
    for folder in Path(__file__).resolve().parents:
        if (lock := folder / "requirements.lock").exists():
            return sha256(lock.read_bytes())
    return "unknown"
