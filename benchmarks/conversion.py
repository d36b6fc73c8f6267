"""What becomes of each estimator family: ONNX, int8 and LiteRT, with parity, size and time.

The families are those of the tests, on real public data; all is measured on rows that were not
trained on. Writes `docs/reference/conversion.md`. Times are of one row in one thread, each form in
turns with the float one of the same runtime. The LiteRT files are also run by the last
tflite-runtime, which old boards have.
"""

import json
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import report
import venvs

sys.path.insert(0, str(Path(__file__).parent.parent))

from sklearn.pipeline import Pipeline
from tests.converters.families import FAMILIES, REFUSED, Family, fit

from lamplighter_converters.golden import write_npz
from lamplighter_converters.litert.session import LitertSession
from lamplighter_converters.parity.compare import require
from lamplighter_converters.quantize.choose import Candidate, Choice
from lamplighter_converters.session import OnnxSession
from lamplighter_converters.variants import Declared, Variants, make_variants
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.errors import LamplighterError

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "conversion.md"
DECLARED = Declared()
ROUNDS, CALLS = 60, 50
#: Rows that the older runtime is asked too, and what it is.
ROWS, TFLITE = 20, ("tflite-runtime==2.14.0", "numpy<2")
HEAD = """# What converts to what

Every estimator family of the tests on real public data (digits, wine, breast cancer, diabetes),
asked rows that it was not trained on. Written by `make bench NAME=conversion` on {cpu}, {cores}
cores, Python {python}, scikit-learn {sklearn}, skl2onnx {skl2onnx}, ONNX Runtime {onnxruntime},
LiteRT {litert}.

*Error* is the largest difference from the estimator's own numbers, relative above 1. The percentage
is the share of equal labels, or of explained variance for quantities. *Size* and *time* of int8 are
shares of the float model on the same runtime, for one row in one thread on this machine. int8 is
**taken** where it keeps the declared tolerance ({agreement:.0%} agreement, error 1), takes at most
{latency:g} of the time and {size:g} of the size, and answers a row alike in every batch; else float
is kept, and the figures or the sentence say why. On another kind of processor the times differ.

| Family | ONNX error | Size | Time | int8 on ONNX Runtime | LiteRT error | int8 on LiteRT |
| --- | --- | --- | --- | --- | --- | --- |
"""


def measure(family: Family) -> Variants:
    """A family's variants, chosen by measurement."""
    table = family.table()
    return make_variants(
        fit(family), table.inputs, calibration=table.train, held_out=table.held_out
    )


def time_us(raw: bytes, family: Family) -> float:
    """One inference of one row."""
    table, session = family.table(), OnnxSession(raw)
    row = {name: values[:1] for name, values in table.inputs.feeds(table.held_out).items()}
    rounds = []  # the shortest counts, as in quantize.latency
    for _ in range(ROUNDS):
        started_mono = time.perf_counter()
        for _ in range(CALLS):
            session.run(row)
        rounds.append((time.perf_counter() - started_mono) / CALLS * 1e6)
    return min(rounds)


def keeps(candidate: Candidate) -> bool:
    """Whether a form of int8 exists and loses no more than declared, whether it pays or not."""
    shift, limit = candidate.batch_shift, DECLARED.goal.max_batch_shift
    if candidate.parity is None or shift is None or shift > limit:
        return False
    try:
        require(candidate.parity, DECLARED.int8)
    except LamplighterError:
        return False
    return True


def best(choice: Choice) -> Candidate:
    """What was taken, or came nearest to it."""
    taken = [one for one in choice.candidates if one.recipe == choice.recipe]
    within = [one for one in choice.candidates if keeps(one)]
    return next(iter(taken or within or choice.candidates))


def describe_int8(made: Variants, runtime: Runtime) -> str:
    """The cell of one runtime."""
    choice = made.report.choices.get(runtime)
    if choice is None:
        reasons = [one.reason for one in made.report.left_out if one.name == "litert-int8"]
        return reasons[0].removeprefix("LiteRT: ")
    one = best(choice)
    if one.parity is None:
        return str(one.kept_out)
    figures = (
        f"{one.recipe}, {one.size_ratio:.2f} size, {one.latency_ratio:.2f} time, "
        f"{one.parity.agreement:.2%}"
    )
    if one.kept_out is None:
        return f"**taken**: {figures}"
    pays = "the float model's" not in one.kept_out
    return f"float: {figures}. {one.kept_out}" if pays else f"float: {figures}"


def kind_of(family: Family) -> str:
    """The class of the estimator that answers."""
    estimator = family.make()
    return type(estimator[-1] if isinstance(estimator, Pipeline) else estimator).__name__


def row_of(name: str, family: Family, made: Variants) -> str:
    """A family's line in the table."""
    errors = {one.name: one.parity.max_error for one in made.report.variants}
    exact = made.files["onnx-fp32.onnx"]
    litert = errors.get("litert-fp32")
    cells = (
        name,
        f"{errors['onnx-fp32']:.1e}",
        f"{len(exact) / 1000:,.1f} kB",
        f"{time_us(exact, family):,.0f} µs",
        describe_int8(made, "onnxruntime"),
        "" if litert is None else f"{litert:.1e}",
        describe_int8(made, "litert"),
    )
    return f"| {' | '.join(cells)} |"


def refusal(family: Family) -> str:
    """Why a family is refused."""
    try:
        measure(family)
    except LamplighterError as error:
        return f"`{error.code}`: {' '.join(error.sentence.split())}"
    raise AssertionError("it converts")


def keep_litert(folder: Path, number: int, family: Family, made: Variants) -> None:
    """Keep a family's LiteRT files and what LiteRT answered, for the older runtime."""
    table = family.table()
    rows = {name: values[:ROWS] for name, values in table.inputs.feeds(table.held_out).items()}
    for name in made.files.keys() & {"litert-fp32.tflite", "litert-int8.tflite"}:
        (asked,) = rows.values()
        answers = LitertSession(made.files[name]).run(rows)
        known = {f"output/{output}": values for output, values in answers.items()}
        file = folder / f"{number}-{name}"
        file.write_bytes(made.files[name])
        file.with_suffix(".npz").write_bytes(write_npz({"input": asked, **known}))


def ask_tflite_runtime(folder: Path) -> dict[str, Any]:
    """What the last tflite-runtime makes of the files."""
    python = venvs.install("tflite", *TFLITE) / "python"
    script = Path(__file__).parent / "peers" / "tflite_files.py"
    done = subprocess.run(
        [python, script, folder], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write(lines: list[str], refused: list[str]) -> None:
    """The page."""
    machine, goal = report.machine(), DECLARED.goal
    head = HEAD.format(
        cpu=machine["cpu"],
        cores=machine["cores"],
        python=machine["python"],
        agreement=DECLARED.int8.min_agreement,
        latency=goal.max_latency_ratio,
        size=goal.max_size_ratio,
        sklearn=metadata.version("scikit-learn"),
        skl2onnx=metadata.version("skl2onnx"),
        onnxruntime=metadata.version("onnxruntime"),
        litert=metadata.version("ai-edge-litert"),
    )
    PAGE.write_text(
        head
        + "\n".join(lines)
        + "\n\n## What is refused\n\n| Family | Why |\n| --- | --- |\n"
        + "\n".join(refused)
        + "\n"
    )


def main() -> None:
    """Measure all families and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        measure_all(Path(folder))


def measure_all(folder: Path) -> None:
    """All families; LiteRT files are kept in a folder for the older runtime."""
    lines: list[str] = []
    kinds: set[str] = set()
    ok: dict[str, set[str]] = {"int8": set(), "taken": set(), "litert": set()}
    worst = 0.0
    for number, (name, family) in enumerate(FAMILIES.items()):
        report.progress(name)
        made, kind = measure(family), kind_of(family)
        kinds.add(kind)
        shipped = {one.name: one.parity.max_error for one in made.report.variants}
        worst = max(worst, shipped["onnx-fp32"], shipped.get("litert-fp32", 0.0))
        if any(keeps(one) for choice in made.report.choices.values() for one in choice.candidates):
            ok["int8"].add(kind)
        if shipped.keys() & {"onnx-int8", "litert-int8"}:
            ok["taken"].add(kind)
        if "litert-fp32" in shipped:
            ok["litert"].add(kind)
        lines.append(row_of(name, family, made))
        keep_litert(folder, number, family, made)
    tried = {kind_of(family) for family, _ in REFUSED.values()}
    refused = [f"| {name} | {refusal(family)} |" for name, (family, _) in REFUSED.items()]
    write(lines, refused)
    figures: dict[str, Any] = {
        "families": len(kinds | tried),
        "onnx_ok": len(kinds),
        "int8_ok": len(ok["int8"]),
        "int8_taken": len(ok["taken"]),
        "litert_ok": len(ok["litert"]),
        "worst_parity_error": worst,
        "rows_of_the_table": len(lines),
    }
    report.publish(
        "conversion",
        figures=figures,
        peers={TFLITE[0]: ask_tflite_runtime(folder)},
        packages=("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "ai-edge-litert"),
    )


if __name__ == "__main__":
    main()
