import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.app import app
from lamplighter_server.validation.files import read_gates_file, read_predictions
from lamplighter_server.validation.predictions import Predictions

Make = Callable[..., Predictions]
GATES = "model: valves\ngates:\n  metrics:\n    accuracy: {min: 0.8}\n"


def write(p: Predictions, path: Path) -> Path:
    columns: dict[str, Any] = {f"group/{name}": list(v) for name, v in p.groups.items()}
    if p.classes:
        columns |= {f"probability/{c}": p.answers[:, i] for i, c in enumerate(p.classes)}
        columns["truth"] = [p.classes[position] for position in p.truth]
    else:
        columns |= {"truth": p.truth, "answer": p.answers}
    table = pa.table(columns)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)
    return path


def run(*arguments: object, expected: str = "") -> str:
    """Standard output; `expected` is the code of the refusal."""
    result = CliRunner().invoke(app, ["validate", *map(str, arguments)])
    code = result.exception.code if isinstance(result.exception, LamplighterError) else ""
    assert code == expected, (result.output, result.exception)
    assert result.exit_code == (1 if expected else 0)
    return result.stdout


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(GATES)
    return path


@pytest.mark.parametrize("name", ["p.parquet", "p.csv"])
def test_predictions_pass_or_fail_a_build(
    classified: Make, tmp_path: Path, gates: Path, name: str
) -> None:
    good = write(classified(400, classes=3, groups=2), tmp_path / name)
    found = json.loads(run(good, "--gates", gates, "--json"))
    assert [item["outcome"] for item in found["gates"]] == ["passed"]
    assert found["measured"]["rows"] == 400
    assert [g["name"] for g in found["measured"]["fairness"]["site"]["groups"]] == ["a", "b"]
    bad = write(classified(400, classes=3, skill=0.0), tmp_path / f"bad-{name}")
    found = json.loads(run(bad, "--gates", gates, "--json", expected="GATE_FAILED"))
    assert [item["outcome"] for item in found["gates"]] == ["failed"]


def test_an_unknown_gate_fails_a_build_too(regressed: Make, tmp_path: Path, gates: Path) -> None:
    file = write(regressed(100), tmp_path / "p.parquet")
    gates.write_text("gates: {max_latency_ms: 5, max_size_bytes: 100}")
    told = run(file, "--gates", gates, expected="GATE_FAILED")
    assert "unknown" in told
    run(file, "--gates", gates, "--latency-ms", 3, "--model-file", gates)


def test_against_the_incumbent(classified: Make, tmp_path: Path, gates: Path) -> None:
    p = classified(500)
    ours = write(p, tmp_path / "ours.parquet")
    theirs = write(
        Predictions(p.truth, p.answers[:, ::-1].copy(), p.classes), tmp_path / "theirs.parquet"
    )
    gates.write_text("gates: {incumbent: {accuracy: {max_loss: 0.02}}}")
    run(ours, "--gates", gates, "--incumbent", theirs)
    run(theirs, "--gates", gates, "--incumbent", ours, expected="GATE_FAILED")
    run(ours, "--gates", gates, expected="GATE_FAILED")
    run(ours, "--gates", gates, "--first-release")


def test_evidence_is_judged_by_what_it_holds(classified: Make, tmp_path: Path, gates: Path) -> None:
    predictions = write(classified(400), tmp_path / "p.parquet")
    validation = json.loads(run(predictions, "--gates", gates, "--json"))
    file = tmp_path / "evidence.json"
    file.write_text(json.dumps({"model": "valves", "release": 2, "validation": validation}))
    html, markdown = tmp_path / "card.html", tmp_path / "card.md"
    assert json.loads(run(file, "--json", "--card", html)) == validation
    run(file, "--card", markdown)
    assert "<h1>valves@2</h1>" in html.read_text()
    assert markdown.read_text().startswith("# valves@2\n")
    validation["gates"][0]["outcome"] = "unknown"
    file.write_text(json.dumps({"model": "valves", "release": 2, "validation": validation}))
    run(file, expected="GATE_FAILED")
    for content in ('{"model": "valves", "release": 2}', '{"model": 1}', "[", "{" * 100_000):
        file.write_text(content)
        code = "GATES_INVALID" if "release" in content else "MESSAGE_MALFORMED"
        run(file, expected=code)


def test_wrong_use_is_told_apart(tmp_path: Path, gates: Path) -> None:
    for arguments in (["p.parquet"], ["evidence.json", "--gates", str(gates)]):
        result = CliRunner().invoke(app, ["validate", *arguments])
        assert result.exit_code == 2
    run(tmp_path / "none.parquet", "--gates", gates, expected="SOURCE_UNREADABLE")
    run(tmp_path / "none.json", expected="SOURCE_UNREADABLE")
    run(gates, "--gates", tmp_path / "none.yaml", expected="SOURCE_UNREADABLE")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("model: x", "GATES_INVALID"),
        ("gates:", "GATES_INVALID"),
        ("- gates", "GATES_INVALID"),
        ("gates: {metrics: {accuracy: {least: 1}}}", "GATES_INVALID"),
        ("gates: &a {metrics: *a}", "GATES_INVALID"),
        ("gates: [", "GATES_INVALID"),
        ("#" * 300_000, "MESSAGE_TOO_LARGE"),
    ],
)
def test_a_file_without_proper_gates_is_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    with pytest.raises(LamplighterError, match=code):
        read_gates_file(path)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"answer": [1.0]}, "one column 'truth'"),
        ({"truth": [1.0]}, "either 'answer', or"),
        ({"truth": ["a"], "answer": [1.0], "probability/a": [1.0]}, "either 'answer', or"),
        ({"truth": [1.0, None], "answer": [1.0, 2.0]}, "'truth' has empty cells"),
        ({"truth": ["x"], "answer": [1.0]}, "'truth' holds more than numbers"),
        ({"truth": ["c"], "probability/a": [0.5], "probability/b": [0.5]}, "class 'c'"),
        ({"truth": ["a"], "probability/a": [0.5], "probability/b": [0.1]}, "add up to 1"),
        ({"truth": ["a"], "probability/a": ["x"], "probability/b": [0.1]}, "more than numbers"),
        ({"truth": [1.0], "answer": [np.inf]}, "missing or infinite"),
    ],
)
def test_predictions_that_cannot_be_judged_are_refused(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    with pytest.raises(LamplighterError, match="DATA_INVALID") as refusal:
        read_predictions(path)
    assert said in refusal.value.sentence


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 50, b"PAR1" + b"\xff" * 40 + b"PAR1"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("p.parquet", "p.csv"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(LamplighterError, match="DATA_INVALID"):
            read_predictions(path)
