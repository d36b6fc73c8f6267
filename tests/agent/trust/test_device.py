import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from tests.agent.tuf_repository import Repository

from lamplighter_agent.trust import child
from lamplighter_agent.trust.device import refresh
from lamplighter_agent.trust.policies import read_policies
from lamplighter_agent.trust.store import Store
from lamplighter_protocol.assignment import decode_director_keys
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import TrustView

PATH = "models/digits/1/bundle.json"


class Device:
    def __init__(self, path: Path, repository: Repository) -> None:
        self.path = path
        self.root = repository.root_bytes
        self.clock_utc = datetime.now(timezone.utc)

    def refresh(self, repository: Repository) -> TrustView:
        repository.fill(self.path / "inbox")
        return refresh(
            self.path / "store", self.path / "inbox", self.root, clock_utc=self.clock_utc
        )

    def refuses(self, repository: Repository, code: str) -> None:
        with pytest.raises(LamplighterError) as refused:
            self.refresh(repository)
        assert refused.value.code == code

    @property
    def sets(self) -> list[Path]:
        return sorted((self.path / "store").iterdir())

    @property
    def kept(self) -> dict[str, bytes]:
        return Store(self.path / "store").load()


@pytest.fixture
def repository() -> Repository:
    repository = Repository()
    repository.add("digits", 1, b"manifest")
    repository.publish()
    return repository


@pytest.fixture
def device(tmp_path: Path, repository: Repository) -> Device:
    return Device(tmp_path, repository)


def test_a_good_repository_gives_a_view(device: Device, repository: Repository) -> None:
    view = device.refresh(repository)
    assert (view.root_version, view.targets_version, view.timestamp_version) == (1, 2, 2)
    assert view.targets[PATH].sha256 == sha256(b"manifest")
    assert view.director == decode_director_keys(repository.director_keys)
    assert view.issued_floor_utc == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert device.refresh(repository) == view
    repository.add("digits", 2, b"manifest 2")
    repository.publish()
    assert len(device.refresh(repository).targets) == 2
    assert len(device.sets) == 2


def test_a_new_root_is_followed(device: Device, repository: Repository) -> None:
    device.refresh(repository)
    repository.publish_root()
    repository.publish()
    assert device.refresh(repository).root_version == 2


@pytest.mark.parametrize("name", ["2.targets.json", "2.snapshot.json", "timestamp.json"])
def test_tampered_metadata_is_refused_and_not_kept(
    device: Device, repository: Repository, name: str
) -> None:
    good = device.refresh(repository)
    repository.add("digits", 2, b"other")
    repository.publish()
    name = name.replace("2.", "3.")
    repository.files[name] = (
        repository.files[name]
        .replace(b"digits/2", b"digits/3")
        .replace(b'"version":3', b'"version":4')
    )
    device.refuses(repository, "TRUST_REFUSED")
    assert repository.files[name] not in device.kept.values()
    repository.publish()
    assert device.refresh(repository).targets_version > good.targets_version


def test_another_root_of_trust_is_refused(device: Device, repository: Repository) -> None:
    stranger = Repository()
    stranger.files["1.root.json"] = repository.root_bytes
    device.refuses(stranger, "TRUST_REFUSED")


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_expired_metadata_is_refused(device: Device, repository: Repository, role: str) -> None:
    repository.expires[role] = datetime.now(timezone.utc) - timedelta(hours=1)
    if role == "root":
        repository.publish_root()
    repository.publish()
    device.refuses(repository, "TRUST_EXPIRED")


def test_expiry_counts_by_the_signed_floor_where_the_clock_is_behind(
    device: Device, repository: Repository
) -> None:
    now = datetime.now(timezone.utc)
    repository.expires["snapshot"] = now + timedelta(hours=1)
    repository.issued_utc = (now + timedelta(hours=2)).isoformat()
    repository.publish()
    device.refuses(repository, "TRUST_EXPIRED")


def test_the_floor_grows_but_never_past_what_offline_keys_signed(
    device: Device, repository: Repository
) -> None:
    floor_utc = device.refresh(repository).issued_floor_utc
    repository.issued_utc = "2025-01-01T00:00:00Z"
    repository.publish()
    assert device.refresh(repository).issued_floor_utc == floor_utc
    repository.issued_utc = "2999-01-01T00:00:00Z"
    repository.publish()
    with pytest.raises(LamplighterError, match="TRUST_EXPIRED"):
        device.refresh(repository)
    repository.issued_utc = None
    repository.publish()
    assert device.refresh(repository).issued_floor_utc == floor_utc


@pytest.mark.parametrize("issued", ["yesterday", "2026-01-01T00:00:00", 7])
def test_a_malformed_time_is_refused(device: Device, repository: Repository, issued: str) -> None:
    repository.issued_utc = issued
    repository.publish()
    device.refuses(repository, "TRUST_REFUSED")


def test_a_rollback_is_refused(device: Device, repository: Repository) -> None:
    old = dict(repository.files)
    repository.publish()
    device.refresh(repository)
    repository.files = old
    device.refuses(repository, "TRUST_REFUSED")


def test_a_file_that_has_not_arrived_is_waited_for(device: Device, repository: Repository) -> None:
    raw = repository.files.pop("2.snapshot.json")
    device.refuses(repository, "TRUST_MISSING")
    repository.files["2.snapshot.json"] = raw
    device.refresh(repository)


def test_other_director_keys_are_refused(device: Device, repository: Repository) -> None:
    repository.files["director-keys.json"] = Repository(epoch=9).director_keys
    device.refuses(repository, "TRUST_REFUSED")
    del repository.files["director-keys.json"]
    device.refuses(repository, "TRUST_REFUSED")


def test_the_director_keys_are_remembered(device: Device, repository: Repository) -> None:
    view = device.refresh(repository)
    del repository.files["director-keys.json"]
    assert device.refresh(repository).director == view.director


@pytest.mark.parametrize(
    "custom", [{"model": "digits", "release": 1}, {"model": "cats", "release": 3}, {"x": 1}, "x"]
)
def test_a_target_whose_custom_does_not_equal_its_path_is_left_out(
    device: Device, repository: Repository, custom: object
) -> None:
    repository.add("digits", 3, b"manifest 3", custom)
    repository.publish()
    assert set(device.refresh(repository).targets) == {PATH}


def test_what_a_power_cut_left_is_swept(device: Device, repository: Repository) -> None:
    device.refresh(repository)
    (device.path / "store" / "set-left").mkdir()
    device.refresh(repository)
    assert len(device.sets) == 2


def test_a_board_without_a_clock_judges_by_the_signed_floor(
    device: Device, repository: Repository
) -> None:
    now_utc = device.clock_utc
    repository.issued_utc = now_utc.isoformat()
    repository.publish()
    device.clock_utc = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert device.refresh(repository).issued_floor_utc == now_utc
    for role in ("timestamp", "snapshot", "targets"):
        repository.expires[role] = now_utc - timedelta(seconds=1)
        repository.publish()
        device.refuses(repository, "TRUST_EXPIRED")
        repository.expires[role] = now_utc + timedelta(days=1)


def test_a_clock_that_is_ahead_refuses_and_does_no_lasting_harm(
    device: Device, repository: Repository
) -> None:
    view = device.refresh(repository)
    now_utc, kept = device.clock_utc, device.kept
    device.clock_utc = datetime(2099, 1, 1, tzinfo=timezone.utc)
    device.refuses(repository, "TRUST_EXPIRED")
    assert device.kept == kept
    device.clock_utc = now_utc
    assert device.refresh(repository) == view


def test_new_online_keys_take_back_the_time_that_a_thief_has_set(
    device: Device, repository: Repository
) -> None:
    now_utc = device.refresh(repository).issued_floor_utc
    thief_utc = repository.expires["root"].replace(microsecond=0) - timedelta(seconds=1)
    repository.issued_utc = thief_utc.isoformat()
    repository.publish()
    assert device.refresh(repository).issued_floor_utc == thief_utc
    repository.issued_utc = now_utc.isoformat()
    for role in ("timestamp", "snapshot"):  # as an honest server signs them
        repository.expires[role] = device.clock_utc + timedelta(days=7)
    repository.publish()
    device.refuses(repository, "TRUST_EXPIRED")
    repository.rotate("timestamp")
    repository.publish_root()
    repository.publish()
    assert device.refresh(repository).issued_floor_utc == now_utc


def test_another_pinned_root_begins_anew(device: Device, repository: Repository) -> None:
    repository.publish()
    device.refresh(repository)
    other = Repository()
    device.root = other.root_bytes
    assert device.refresh(other).targets_version == 1


def test_a_damaged_root_is_climbed_to_from_the_pinned_one(
    device: Device, repository: Repository
) -> None:
    repository.publish_root()
    device.refresh(repository)
    (device.path / "store/current/root.json").write_bytes(b"{")
    assert device.refresh(repository).root_version == 2


@pytest.mark.parametrize("name", ["floor", "policies", "director-keys", "timestamp.json"])
def test_a_damaged_file_of_the_store_does_not_stop_the_device(
    device: Device, repository: Repository, name: str
) -> None:
    view = device.refresh(repository)
    (device.path / "store/current" / name).write_bytes(b"\xff")
    assert device.refresh(repository) == view


def test_a_role_cannot_pass_for_what_the_device_keeps(
    device: Device, repository: Repository
) -> None:
    for role in ("floor", "policies", "pinned-root", "director-keys", "current"):
        repository.delegate(role, "models/*/*")
    repository.publish()
    before = device.refresh(repository)
    assert device.refresh(repository) == before
    assert device.kept["pinned-root"] == device.root


def test_delegated_roles_arrive_as_files_of_their_own(
    device: Device, repository: Repository
) -> None:
    role = f"model-{'x' * 63}"
    repository.delegate(role, f"models/{'x' * 63}/*/*")
    repository.add("x" * 63, 1, b"x", role=role)
    repository.publish()
    view = device.refresh(repository)
    assert view.targets[f"models/{'x' * 63}/1/bundle.json"].roles == ("targets", role)
    assert role in view.expires_utc
    del repository.files[f"1.{role}.json"]
    assert device.refresh(repository) == view


def test_policies_outlive_what_brought_them(device: Device, repository: Repository) -> None:
    repository.delegate("model-cats", "models/cats/*")
    repository.set_policy("cats", "model-cats", minimum_release=2)
    repository.set_policy("digits", minimum_release=3)
    repository.publish()
    assert device.refresh(repository).policies.keys() == {"cats", "digits"}
    repository.expires["model-cats"] = device.clock_utc - timedelta(hours=1)
    repository.set_policy("digits", minimum_release=4)
    repository.publish()
    view = device.refresh(repository)
    assert view.refused["cats"].code == "TRUST_EXPIRED"
    remembered = read_policies(device.path / "store")
    assert remembered["cats"].minimum_release == 2
    assert remembered["digits"].minimum_release == 4
    device.clock_utc += timedelta(days=99)
    device.refuses(repository, "TRUST_EXPIRED")
    assert read_policies(device.path / "store") == remembered


def test_256_roles_of_a_fleet_are_followed(device: Device, repository: Repository) -> None:
    for number in range(250):
        repository.delegate(f"model-m{number}", f"models/m{number}/*", f"models/m{number}/*/*")
        repository.add(f"m{number}", 1, b"x", role=f"model-m{number}")
    repository.publish()
    assert len(device.refresh(repository).targets) == 251


@pytest.mark.parametrize(
    ("spoil", "status"), [(lambda _: None, 0), (lambda files: files.pop("timestamp.json"), 1)]
)
def test_the_child_prints_its_verdict(
    device: Device,
    repository: Repository,
    spoil: Callable[[dict[str, bytes]], object],
    status: int,
) -> None:
    spoil(repository.files)
    repository.fill(device.path / "inbox")
    (device.path / "root.json").write_bytes(device.root)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", child.__name__),
            *(str(device.path / name) for name in ("store", "inbox", "root.json")),
        ],
        capture_output=True,
        check=False,
    )
    assert ran.returncode == status
    if status == 0:
        assert msgspec.json.decode(ran.stdout, type=TrustView).targets_version == 2
    else:
        assert msgspec.json.decode(ran.stdout)["code"] == "TRUST_MISSING"
