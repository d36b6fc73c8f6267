"""Who rings is heard; nothing that stands in the way of a bell is worse than silence."""

import asyncio
import os
from pathlib import Path

from lamplighter_agent.app.bell import answer, ring


async def heard(path: Path) -> int:
    """Ring thrice from here; how often that was heard."""
    rung = []
    answering = asyncio.create_task(answer(path, lambda: rung.append(path)))
    await asyncio.sleep(0)
    for _ in range(3):
        ring(path)
        await asyncio.sleep(0.02)
    answering.cancel()
    await asyncio.wait({answering})
    return len(rung)


async def test_each_ring_is_heard_also_after_a_restart(tmp_path: Path) -> None:
    assert await heard(tmp_path / "bell") == 3
    assert await heard(tmp_path / "bell") == 3


async def test_without_a_bell_the_agent_goes_on(tmp_path: Path) -> None:
    assert await heard(tmp_path / "missing/bell") == 0
    (tmp_path / "folder").mkdir()
    assert await heard(tmp_path / "folder") == 0


def test_nobody_answers_and_nothing_is_made(tmp_path: Path) -> None:
    ring(tmp_path / "bell")
    os.mkfifo(tmp_path / "left")  # by an agent that was killed
    ring(tmp_path / "left")
    assert not (tmp_path / "bell").exists()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"kept")
    (tmp_path / "bell").symlink_to(tmp_path / "precious")
    ring(tmp_path / "bell")
    assert (tmp_path / "precious").read_bytes() == b"kept"
