"""A release whose gates have not passed, from the client to the real server."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.server.publishing.conftest import PASSPHRASE, TOKEN, make_bundle
from typer.testing import CliRunner, Result

from lamplighter_protocol.canonical import encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.cli.app import app
from lamplighter_server.overrides.client import settle
from lamplighter_server.publishing.client import publish_release
from lamplighter_server.validation.results import GateResult, Override

PASSED = GateResult(gate="accuracy >= 0.9", outcome="passed", sentence="accuracy is 0.95: it is.")
FAILED = GateResult(gate="size <= 9 bytes", outcome="failed", sentence="the size is 10: it is not.")
UNKNOWN = GateResult(gate="latency <= 5 ms", outcome="unknown", sentence="it was not measured.")


def evidence(*results: GateResult, override: Override | None = None) -> bytes:
    validation: dict[str, Any] = {"gates": results, "override": override}
    return encode({"model": "digits", "validation": validation})


def test_passed_gates_need_nobody(api: Api, established: Path) -> None:
    bundle = make_bundle(1)
    told: dict[str, Any] = {"model": "digits", "bundle_sha256": bundle.sha256, "reason": None}
    assert settle(api, results=[PASSED], **told) is None
    assert publish_release(api, established, PASSPHRASE, bundle, evidence(PASSED)).release == 1


@pytest.mark.parametrize("stopped", [FAILED, UNKNOWN])
def test_what_has_not_passed_is_published_by_a_person_only(
    api: Api, established: Path, stopped: GateResult
) -> None:
    bundle, results = make_bundle(1), [PASSED, stopped]
    told: dict[str, Any] = {
        "model": "digits",
        "bundle_sha256": bundle.sha256,
        "results": results,
    }
    with pytest.raises(LamplighterError, match=f"GATE_FAILED.*{stopped.gate}"):
        settle(api, reason=None, **told)

    def publish(raw: bytes) -> int:
        return publish_release(api, established, PASSPHRASE, bundle, raw).release

    with pytest.raises(LamplighterError, match="GATE_FAILED"):
        publish(evidence(*results))
    forged = Override(person="anna", reason="because", approved_by="bert")
    with pytest.raises(LamplighterError, match="GATE_FAILED"):
        publish(evidence(*results, override=forged))
    override = settle(api, reason="the field needs it today", **told)
    assert override == Override(person="admin", reason="the field needs it today")
    with pytest.raises(LamplighterError, match="GATE_FAILED"):
        publish(evidence(*results, override=forged))
    other = GateResult(gate="f1 >= 0.9", outcome="failed", sentence="it is not.")
    with pytest.raises(LamplighterError, match="does not cover f1"):
        publish(evidence(*results, other, override=override))
    assert publish(evidence(*results, override=override)) == 1
    shown = api.get("/api/v1/models/digits/releases/1")
    kept = shown["evidence"]["validation"]
    assert kept["override"]["person"] == "admin"
    assert [item["outcome"] for item in kept["gates"]] == ["passed", stopped.outcome]


def test_an_override_is_of_one_bundle(api: Api, established: Path) -> None:
    first, second = make_bundle(1), make_bundle(2)
    override = settle(
        api,
        model="digits",
        bundle_sha256=first.sha256,
        results=[FAILED],
        reason="the field needs it today",
    )
    with pytest.raises(LamplighterError, match="GATE_FAILED"):
        publish_release(api, established, PASSPHRASE, second, evidence(FAILED, override=override))


def test_overrides_are_listed_and_approved_on_the_command_line(api: Api, address: str) -> None:
    settle(
        api,
        model="digits",
        bundle_sha256="c0ffee" + "0" * 58,
        results=[FAILED],
        reason="the field needs it today",
    )

    def run(*arguments: str) -> Result:
        common = ["--server", address, "--token", TOKEN, "override"]
        return CliRunner().invoke(app, [*common, *arguments])

    (listed,) = json.loads(run("ls", "--json").stdout)
    assert (listed["person"], listed["gates"]) == ("admin", ["size <= 9 bytes"])
    assert "admin" in run("ls").stdout
    refused = run("approve", "c0ffee")
    assert isinstance(refused.exception, LamplighterError)
    assert refused.exception.code == "APPROVER_IS_CREATOR"
    assert "the field needs it today" in refused.stdout
    unknown = run("approve", "beef")
    assert isinstance(unknown.exception, LamplighterError)
    assert unknown.exception.code == "NOT_FOUND"


def test_the_card_of_a_release_comes_from_its_evidence(
    api: Api, address: str, established: Path, tmp_path: Path
) -> None:
    publish_release(api, established, PASSPHRASE, make_bundle(1), evidence_of_release(1))

    def run(*arguments: str) -> Result:
        common = ["--server", address, "--token", TOKEN, "model", "card"]
        return CliRunner().invoke(app, [*common, *arguments])

    assert run("digits@1").stdout.startswith("# digits@1\n")
    page = tmp_path / "card.html"
    assert run("digits@1", "--output", str(page)).exit_code == 0
    assert "<h1>digits@1</h1>" in page.read_text()
    assert run("digits").exit_code == 2


def evidence_of_release(release: int) -> bytes:
    return encode({"model": "digits", "release": release, "variants": {}})
