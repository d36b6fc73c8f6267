"""A board and a person, each with their own command, against a running server."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.server.cli.running import Up

PASSPHRASE = {"LAMPLIGHTER_PASSPHRASE": "correct horse battery staple"}


def board(claim: str, name: str, folder: Path) -> "subprocess.Popen[str]":
    agent = str(Path(sys.executable).with_name("lamplighter-agent"))
    return subprocess.Popen(
        [agent, "enrol", claim, "--name", name, "--data-dir", str(folder / name)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def waiting(up: Up, name: str) -> dict[str, Any]:
    deadline_mono = time.monotonic() + 30
    while time.monotonic() < deadline_mono:
        listed = json.loads(up.run("device", "ls", "--pending", "--json").stdout)
        for item in listed:
            if item["device"] == name:
                return dict(item)
        time.sleep(0.1)
    raise AssertionError(f"{name} does not ask")


def test_boards_ask_and_a_person_decides(up: Up, tmp_path: Path) -> None:
    made = up.run("keys", "init", "--keys-dir", str(tmp_path / "keys"), **PASSPHRASE)
    assert made.returncode == 0, made.stderr
    claim = up.run("device", "invite", "--claim", "--label", "site=mill", "--json")
    word = json.loads(claim.stdout)["invitation"]
    assert up.run("device", "invite").returncode == 2
    assert up.run("device", "invite", "cam-1", "--claim").returncode == 2
    assert up.run("device", "approve", "cam-1").stderr.startswith("ENROLMENT_UNKNOWN: ")

    with board(word, "cam-1", tmp_path) as wanted, board(word, "cam-2", tmp_path) as stranger:
        for process in (wanted, stranger):
            assert process.stderr is not None
            assert "asks https://127.0.0.1" in process.stderr.readline()
        shown = wanted.stderr.readline().split()[-1]  # type: ignore[union-attr]
        assert waiting(up, "cam-1")["fingerprint"] == shown
        other = waiting(up, "cam-2")["fingerprint"]
        wrong = up.run("device", "approve", "cam-1", "--fingerprint", other)
        assert wrong.stderr.startswith("ENROLMENT_UNKNOWN: ")
        unsure = up.run("device", "approve", "cam-1")
        assert (unsure.returncode, shown in unsure.stderr) == (1, True), "nobody compared"
        let_in = up.run("device", "approve", "cam-1", "--fingerprint", shown[:9])
        assert let_in.returncode == 0, let_in.stderr
        assert "is refused" in up.run("device", "reject", "cam-2").stdout
        answer, _ = wanted.communicate(timeout=60)
        _, refusal = stranger.communicate(timeout=60)
    assert (wanted.returncode, "cam-1 is enrolled" in answer) == (0, True)
    assert (stranger.returncode, "DEVICE_REJECTED: " in refusal) == (1, True)
    listed = json.loads(up.run("device", "ls", "--json").stdout)
    assert [(item["id"], item["labels"]) for item in listed] == [("cam-1", {"site": "mill"})]
    assert "ended: 1" in up.run("device", "withdraw-claims").stdout
