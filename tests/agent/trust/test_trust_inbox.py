import errno
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.agent.tuf_repository import Repository

from lamplighter_agent.trust.refresh import MAX_FILES, Trust, TrustDirs
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES


@pytest.fixture
def repository() -> Repository:
    repository = Repository()
    repository.add("digits", 1, b"manifest")
    repository.publish()
    return repository


@pytest.fixture
def dirs(tmp_path: Path, repository: Repository) -> TrustDirs:
    (tmp_path / "root.json").write_bytes(repository.root_bytes)
    return TrustDirs(tmp_path / "store", tmp_path / "inbox", tmp_path / "root.json")


def deliver(trust: Trust, repository: Repository, *, but: str = "") -> None:
    trust.take("index", repository.index())
    for name, raw in repository.files.items():
        if name != but:
            trust.take(name, raw)


async def test_the_child_runs_when_everything_has_arrived(
    dirs: TrustDirs, repository: Repository
) -> None:
    trust = Trust(dirs)
    deliver(trust, repository, but="timestamp.json")
    assert not trust.is_due()
    trust.take("timestamp.json", repository.files["timestamp.json"])
    assert trust.is_due()
    view = await trust.refresh()
    assert trust.view == view
    assert not trust.is_due()


async def test_old_files_are_pruned_and_a_restart_finds_the_rest(
    dirs: TrustDirs, repository: Repository
) -> None:
    trust = Trust(dirs)
    deliver(trust, repository)
    await trust.refresh()
    old = set(repository.files)
    repository.publish()
    deliver(trust, repository)
    await trust.refresh()
    names = {path.name for path in dirs.inbox.iterdir()}
    assert names == {*repository.files, "index"}
    assert old - names
    again = Trust(dirs)
    assert again.is_due()
    assert (await again.refresh()).targets_version == 3


async def test_what_the_child_refuses_is_not_asked_again(
    dirs: TrustDirs, repository: Repository
) -> None:
    repository.files["director-keys.json"] = b"{}"
    trust = Trust(dirs)
    deliver(trust, repository)
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        await trust.refresh()
    assert trust.view is None
    assert not trust.is_due()


async def test_what_was_refused_for_its_time_is_asked_again(
    dirs: TrustDirs, repository: Repository
) -> None:
    trust = Trust(dirs)
    repository.expires["timestamp"] = datetime.now(timezone.utc) - timedelta(hours=1)
    repository.publish()
    deliver(trust, repository)
    states = [trust.is_behind]
    with pytest.raises(LamplighterError, match="TRUST_EXPIRED"):
        await trust.refresh()
    assert trust.is_due()
    states.append(trust.is_behind)
    assert states == [True, False]  # nobody waits for it any more
    repository.expires["timestamp"] += timedelta(days=1)
    repository.publish()
    deliver(trust, repository)
    await trust.refresh()
    assert not trust.is_due()


async def test_what_found_no_room_is_to_be_sent_again(
    dirs: TrustDirs, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = Trust(dirs)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        for name, raw in {**repository.files, "index": repository.index()}.items():
            with pytest.raises(LamplighterError, match="DISK_FULL"):
                trust.take(name, raw)
    states = [(trust.is_short, trust.may_heal, trust.is_behind, trust.is_due())]
    deliver(trust, repository)
    await trust.refresh()
    states.append((trust.is_short, trust.may_heal, trust.is_behind, trust.is_due()))
    assert states == [(True, True, True, False), (False, False, False, False)]


async def test_policies_are_known_before_anything_is_verified(
    dirs: TrustDirs, repository: Repository
) -> None:
    repository.set_policy("digits", minimum_release=2)
    repository.publish()
    trust = Trust(dirs)
    assert trust.policies == {}
    deliver(trust, repository)
    await trust.refresh()
    assert Trust(dirs).policies == trust.policies
    assert trust.policies["digits"].minimum_release == 2


def test_an_index_of_too_many_files_is_refused(dirs: TrustDirs, repository: Repository) -> None:
    repository.files |= {f"{number}.x.json": b"{}" for number in range(MAX_FILES)}
    with pytest.raises(LamplighterError, match="MESSAGE_TOO_LARGE"):
        Trust(dirs).take("index", repository.index())


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("../evil.json", b"x", "NAME_INVALID"),
        (".json", b"x", "NAME_INVALID"),
        ("root.txt", b"x", "NAME_INVALID"),
        ("1.root.json~", b"x", "NAME_INVALID"),
        ("1.root.json", b"x" * (MAX_TRUST_FILE_BYTES + 1), "MESSAGE_TOO_LARGE"),
        ("index", b"{}", "MESSAGE_MALFORMED"),
        ("index", b"\xff", "MESSAGE_MALFORMED"),
    ],
)
def test_what_does_not_belong_is_refused(
    dirs: TrustDirs, name: str, payload: bytes, code: str
) -> None:
    trust = Trust(dirs)
    with pytest.raises(LamplighterError) as refused:
        trust.take(name, payload)
    assert refused.value.code == code
    assert list(dirs.inbox.iterdir()) == []


def test_the_inbox_is_bounded(dirs: TrustDirs) -> None:
    trust = Trust(dirs)
    for number in range(2 * MAX_FILES):
        trust.take(f"{number}.root.json", b"x")
    with pytest.raises(LamplighterError, match="MESSAGE_TOO_LARGE"):
        trust.take("999.root.json", b"x")
    trust.take("1.root.json", b"y")
    trust.take("1000.root.json", b"")


async def test_a_lost_file_is_missed_also_when_the_index_comes_after_it(
    dirs: TrustDirs, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = Trust(dirs)
    deliver(trust, repository)
    await trust.refresh()
    repository.publish()

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fails)
        with pytest.raises(LamplighterError, match="DISK_FAILED"):
            trust.take("timestamp.json", repository.files["timestamp.json"])
    deliver(trust, repository, but="timestamp.json")
    assert (trust.is_short, trust.is_due()) == (True, False)
    trust.take("timestamp.json", repository.files["timestamp.json"])
    assert (trust.is_short, trust.is_due()) == (False, True)


async def test_a_lost_file_is_missed_though_the_set_before_is_verified_meanwhile(
    dirs: TrustDirs, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = Trust(dirs)
    deliver(trust, repository)
    repository.publish()

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fails)
        with pytest.raises(LamplighterError, match="DISK_FAILED"):
            trust.take("timestamp.json", repository.files["timestamp.json"])
    await trust.refresh()
    assert not trust.is_short
    deliver(trust, repository, but="timestamp.json")
    assert trust.is_short


async def test_a_killed_child_is_asked_again(
    dirs: TrustDirs, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A device short of memory kills whom it likes; that says nothing of the metadata."""
    killed = tmp_path / "killed.sh"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    trust = Trust(dirs)
    deliver(trust, repository)
    with monkeypatch.context() as patched:
        patched.setattr("sys.executable", str(killed))
        with pytest.raises(LamplighterError, match="TRUST_MISSING"):
            await trust.refresh()
    assert trust.is_due()
    await trust.refresh()
