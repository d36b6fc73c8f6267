import contextlib
import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.trust.policies import decode_policies
from lamplighter_agent.trust.store import Store
from lamplighter_protocol.errors import LamplighterError

SETS = st.dictionaries(st.sampled_from(["root.json", "a%2Fb.json", "floor"]), st.binary(max_size=9))


@given(history=st.lists(SETS, min_size=1, max_size=4))
def test_the_newest_set_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("store")
    for files in history:
        Store(path).save(files)
        assert Store(path).load() == files
        assert len(list(path.glob("set-*"))) <= 1


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save({"root.json": b"1", "floor": b"1"})
    before = (store.current / "root.json").stat().st_ino, store.current.resolve()
    store.save({"root.json": b"1", "floor": b"1"})
    assert store.current.resolve() == before[1]
    store.save({"root.json": b"1", "floor": b"2"})
    assert (store.current / "root.json").stat().st_ino == before[0]
    assert store.load() == {"root.json": b"1", "floor": b"2"}


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("call", ["mkdir", "open", "link", "fsync", "symlink", "replace", "rmdir"])
@pytest.mark.parametrize("at", range(6))
def test_after_a_power_cut_the_set_is_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int
) -> None:
    old, new = {"a.json": b"1", "b.json": b"1"}, {"a.json": b"1", "b.json": b"2", "c.json": b"2"}
    Store(tmp_path).save(old)
    inner, calls = getattr(os, call), 0

    def cut(*arguments: object, **keywords: object) -> object:
        nonlocal calls
        calls += 1
        if calls > at:
            raise Cut
        return inner(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, cut)
        with contextlib.suppress(Cut):
            Store(tmp_path).save(new)
    assert Store(tmp_path).load() in (old, new)
    Store(tmp_path).save(new)
    assert Store(tmp_path).load() == new
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_leaves_the_old_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).save({"a.json": b"1"})

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LamplighterError, match="DISK_FULL"):
            Store(tmp_path).save({"a.json": b"2"})
    assert Store(tmp_path).load() == {"a.json": b"1"}


@pytest.mark.parametrize("raw", [b"", b'{"\xff":', b'{"a":' * 5000, b"[]"])
def test_damaged_policies_say_nothing(raw: bytes) -> None:
    assert decode_policies(raw) == {}
