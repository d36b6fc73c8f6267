"""The process of sources and sinks before a real worker: started, fed, killed, started again."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from tests.agent_worker.conftest import ready_worker, start_worker
from tests.agent_worker.test_worker_process import Images

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.feeder import Feeder
from lamplighter_agent.app.tasks import cancel
from lamplighter_agent.ports.worker import Serve, Serving
from lamplighter_protocol.errors import LamplighterError


def say_where(status: Path, listening: socket.socket) -> None:
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    serve = {"meter-digits": {"url": url, "ready": True}}
    status.write_bytes(msgspec.json.encode({"serve": serve, "pid": 1}))


def make_feeder(folder: Path, tell: Callable[[LamplighterError], None], **keys: Any) -> Feeder:
    inbox = {
        "kind": "folder",
        "model": "meter-digits",
        "path": str(folder / "in"),
        "settle_s": 0.05,
    }
    sink = {"kind": "file", "name": "results", "path": str(folder / "results.jsonl")}
    settings = Settings(
        data=DataDir(folder),
        source=({**inbox, "sinks": ["results"], **keys},),
        sink=(sink,),
        retry_first_s=0.1,
        retry_max_s=0.2,
    )
    return Feeder(settings, tell)


def results(folder: Path) -> list[dict[str, Any]]:
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait(), 40)


def feeding() -> list[psutil.Process]:
    alive = (c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE)
    return [child for child in alive if "lamplighter_agent.app.feeding" in child.cmdline()]


async def test_files_are_answered_and_a_killed_process_goes_on(
    files: Path, listening: socket.socket, images: Images, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    told: list[LamplighterError] = []
    feeder = asyncio.create_task(make_feeder(tmp_path, told.append).run())
    np.save(tmp_path / "in" / "a.npy", images[:3])
    await until(lambda: bool(told))  # there is no model yet
    assert {error.code for error in told} == {"SOURCE_WAITS"}
    async with start_worker(files, listening) as worker:
        await ready_worker(worker)
        worker.tell(Serve())
        await worker.hear(Serving)
        say_where(DataDir(tmp_path).status, listening)
        await until(lambda: len(results(tmp_path)) == 1)
        (answer,) = results(tmp_path)
        labels = next(item for item in answer["outputs"] if item["name"] == "label")
        assert (answer["key"], answer["release"], len(labels["data"])) == ("a.npy", "1", 3)
        (process,) = feeding()
        process.send_signal(signal.SIGKILL)
        (tmp_path / "in" / "b.json").write_text(json.dumps(images[0].tolist()))
        (tmp_path / "in" / "c.json").write_text("[1, 2, 3]")
        await until(lambda: len(results(tmp_path)) == 3)
        by_key = {result["key"]: result for result in results(tmp_path)}
        assert "shape" in by_key["c.json"]["error"]
        assert "outputs" in by_key["b.json"]
        await until((tmp_path / "in" / "failed" / "c.json").exists)
        assert {path.name for path in (tmp_path / "in" / "done").iterdir()} == {"a.npy", "b.json"}
        await cancel([feeder])
    assert feeding() == []


async def test_a_source_of_somebody_else_may_print_and_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "harbour-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: harbour\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[lamplighter_agent.sources]\nscale = harbour:ScaleSource\n"
    )
    (tmp_path / "harbour.py").write_text(
        "class ScaleSource:\n"
        "    def __init__(self, table): print('hello')\n"
        "    def items(self): raise TypeError(f'no scale {len(__name__)}')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told: list[LamplighterError] = []
    broken = make_feeder(tmp_path, told.append, kind="scale")
    feeder = asyncio.create_task(broken.run())
    await until(lambda: len(told) == 2)  # it was started again
    await cancel([feeder])
    assert {error.code for error in told} == {"SOURCE_FAILED"}
    assert "TypeError: no scale 7" in told[0].sentence


async def test_wrong_tables_are_told_and_nothing_runs(tmp_path: Path) -> None:
    told: list[LamplighterError] = []
    wrong = make_feeder(tmp_path, told.append, colour="red")
    feeder = asyncio.create_task(wrong.run())
    await until(lambda: bool(told))
    await cancel([feeder])
    assert told[0].code == "SOURCE_INVALID"
    assert "colour" in told[0].sentence
