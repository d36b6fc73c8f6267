"""`lamplighter audit` against a server on a real port, and offline on what it exported."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import text
from typer.testing import CliRunner, Result

from lamplighter_server.audit import commands
from lamplighter_server.cli.app import app
from lamplighter_server.doors import people_app

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def run(stage: Any, free_port: Callable[[], int]) -> AsyncIterator[Run]:
    port = free_port()
    config = uvicorn.Config(people_app(stage.context, "token"), port=port, log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)

    async def invoke(*words: str) -> Result:
        line = ["--server", f"http://127.0.0.1:{port}", "--token", "token", "audit", *words]
        return await asyncio.to_thread(CliRunner().invoke, app, line)

    yield invoke
    server.should_exit = True
    await task


def code_of(result: Result) -> str:
    assert result.exit_code == 1
    return str(getattr(result.exception, "code", result.output))


async def tamper(stage: Any, statement: str) -> None:
    """As somebody who owns the database file; `stage` has no triggers."""
    async with stage.context.database.engine.begin() as connection:
        await connection.execute(text(statement))


async def test_lines_are_listed_for_people_and_programs(stage: Any, run: Run) -> None:
    await stage.add_device("cam-1", site="mill")
    listed = json.loads((await run("ls", "--subject", "cam-1", "--json")).stdout)
    assert [(line["action"], line["subject"]) for line in listed] == [("create", "device/cam-1")]
    assert listed[0].keys() >= {"sequence", "at_utc", "actor", "before", "after", "sha256"}
    assert listed[0]["at_utc"].endswith("Z")
    shown = await run("ls", "--limit", "1")
    assert "device/cam-1" in shown.stdout
    assert "--before 3" in shown.stderr
    assert (await run("ls", "--since", "2999-01-01", "--json")).stdout == "[]\n"


async def test_a_whole_log_is_verified_online_and_offline(
    stage: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PAGE_LINES", 2)
    for name in ("cam-1", "cam-2", "cam-3"):
        await stage.add_device(name)
    online = json.loads((await run("verify", "--json")).stdout)
    assert (online["lines"], online["covered_lines"]) == (5, 5)
    first, second = str(tmp_path / "first.jsonl"), str(tmp_path / "second.jsonl")
    assert (await run("export", first)).exit_code == 0
    await stage.add_device("cam-4")
    assert (await run("export", second)).exit_code == 0
    offline = json.loads((await run("verify", second, "--head", first, "--json")).stdout)
    assert (offline["lines"], offline["signed_heads"], offline["kept_heads"]) == (6, 2, 1)
    assert (await run("verify", "--head", first)).exit_code == 0
    assert code_of(await run("verify", first, "--head", second)) == "AUDIT_TRUNCATED"


async def test_a_tampered_server_is_found_out(stage: Any, run: Run, tmp_path: Path) -> None:
    for name in ("cam-1", "cam-2", "cam-3"):
        await stage.add_device(name)
    kept = str(tmp_path / "kept.jsonl")
    assert (await run("export", kept)).exit_code == 0
    await tamper(stage, "UPDATE audit_line SET actor = 'user:eve' WHERE sequence = 2")
    refused = await run("verify")
    assert code_of(refused) == "AUDIT_BROKEN"
    assert "Line 2 " in str(refused.exception)
    await tamper(stage, "DELETE FROM audit_line WHERE sequence > 1")
    assert code_of(await run("verify")) == "AUDIT_TRUNCATED"
    await tamper(stage, "DELETE FROM audit_head")  # then only a kept head tells
    assert (await run("verify")).exit_code == 0
    assert code_of(await run("verify", "--head", kept)) == "AUDIT_TRUNCATED"


@pytest.mark.parametrize("change", ["edit", "drop", "swap"])
async def test_a_tampered_file_is_found_out(
    stage: Any, run: Run, tmp_path: Path, change: str
) -> None:
    for name in ("cam-1", "cam-2"):
        await stage.add_device(name)
    file = tmp_path / "log.jsonl"
    await run("export", str(file))
    rows = file.read_text().splitlines()
    if change == "edit":
        rows[-2] = rows[-2].replace("cam-1", "cam-9")
    elif change == "drop":
        del rows[-2]
    else:
        rows[-1], rows[-2] = rows[-2], rows[-1]
    file.write_text("\n".join(rows))
    refused = await run("verify", str(file))
    assert code_of(refused) == "AUDIT_BROKEN"
    assert "Line 3 " in str(refused.exception)


async def test_a_file_that_is_not_there_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    assert (await run("verify", str(tmp_path / "none"))).exit_code == 2
