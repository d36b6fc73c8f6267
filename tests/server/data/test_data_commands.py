import json
from pathlib import Path
from typing import Any

import pytest
from tests.server.data.conftest import write_patients
from typer.testing import CliRunner, Result

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.app import app
from lamplighter_server.data.places import Places
from lamplighter_server.data.view import plot

ROLES = ["--role", "visit=identifier", "--role", "patient=personal", "--role", "ward=group"]
NOBODY = ["--server", "http://127.0.0.1:9"]


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*NOBODY, "data", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def read(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def test_from_a_file_to_an_erasure(places: Places, patients: Path, tmp_path: Path) -> None:
    added = read("add", str(patients), "--name", "care", *ROLES, "--retention-days", "30")
    assert (added["dataset"], added["version"], added["new"]) == ("care", 1, True)
    assert added["added_utc"].endswith("Z")
    write_patients(tmp_path / "patients.csv", 300)
    told = run("add", str(patients), "--name", "care", *ROLES).output
    assert "care@v2" in told
    places.runs.record("run-1", added["sha256"])

    listed = read("ls")
    assert [(item["version"], item["rows"], item["due"]) for item in listed] == [
        (1, 200, False),
        (2, 300, False),
    ]
    assert "care@v2" in run("ls").stdout
    shown = read("show", "care@v1")
    assert [item["name"] for item in shown["profile"]["columns"]] == [
        "visit", "patient", "dose", "ward", "label",
    ]  # fmt: skip
    assert shown["profile"]["columns"][1].keys() <= {"name", "nulls", "distinct"}
    assert "keyed hashes" in run("show", "care").stdout
    assert read("diff", "care@v1", "care@v2")["rows"]["added"] == 100
    assert "100 added" in run("diff", "care@v1", "care@v2").stdout
    assert read("check", "care") == []

    erased = read("erase", "--subject", "P-7")
    assert [item["rows_removed"] for item in erased["rewritten"]] == [5, 5]
    uses = erased["uses"][added["sha256"]]
    assert uses["runs"] == ["run-1"]
    assert uses["server_problem"].startswith("SERVER_UNREACHABLE: ")
    assert erased["not_in_audit_log"][0].startswith("SERVER_UNREACHABLE: ")
    assert [item["replaced_by"] for item in read("ls")] == [3, 4, None, None]
    assert "run-1" not in run("erase", "--subject", "P-8").stdout, "it used the version before"
    assert run("erase", "--subject", "P-9999").stdout.startswith("No dataset holds")
    assert read("expire") == []
    assert read("expire", "care@v5") == ["care@v5"]
    assert "care@v6" in run("ls").stdout


def test_a_check_that_blocks_ends_with_1(places: Places, tmp_path: Path) -> None:
    source = tmp_path / "bad.csv"
    source.write_text("a,b,label\n1,2,x\n2,4,x\nthree,5,x\n")
    findings = read("check", str(source), code=1)
    assert [item["code"] for item in findings if item["blocks"]] == ["MIXED_TYPES", "ONE_CLASS"]
    assert findings[0]["remedy"]
    assert "2 of them block" in run("check", str(source), code=1).stdout
    with pytest.raises(LamplighterError) as caught:
        CliRunner().invoke(
            app, ["data", "add", str(source), "--name", "bad"], catch_exceptions=False
        )
    assert caught.value.code == "DATA_REFUSED"
    assert read("ls") == []
    run("check", str(source), "--role", "a=king", code=2)
    run("expire", "bad", code=2)
    Path(f"{source}.yaml").write_text("checks: {allow: [MIXED_TYPES, ONE_CLASS]}\n")
    assert read("add", str(source), "--name", "bad")["version"] == 1


def test_plots_show_what_is_there_at_all() -> None:
    assert plot([0, 1, 1000]) == " ▁█"
    assert plot([0, 0]) == "  "
    assert plot([]) == ""
