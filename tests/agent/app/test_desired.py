"""Who directs, for how long, and what a thief of the director's key cannot do."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.app.desired import Desired
from lamplighter_agent.store.high_water import HighWaterFile
from lamplighter_agent.store.identity import Enrolment
from lamplighter_agent.store.journal import Journal
from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import (
    PAYLOAD_TYPE,
    Assignment,
    DirectorKeys,
    Generation,
    sign_assignment,
)
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import TOP_LEVEL, TrustView

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
PINNED = "0" * 64


def new_director() -> tuple[dsse.SoftwareSigner, str]:
    private = ed25519.Ed25519PrivateKey.generate()
    return dsse.SoftwareSigner(private), dsse.public_pem(private.public_key())


OLD, OLD_PEM = new_director()
NEW, NEW_PEM = new_director()


def view(epoch: int = 1, pem: str = OLD_PEM, offline_days: int = 300) -> TrustView:
    online = {"timestamp": NOW + 7 * DAY, "snapshot": NOW + 30 * DAY}
    offline = {"root": NOW + offline_days * DAY, "targets": NOW + offline_days * DAY}
    assert {*online, *offline} == set(TOP_LEVEL)
    return TrustView(
        root_version=1,
        timestamp_version=1,
        targets_version=1,
        issued_floor_utc=NOW,
        director=DirectorKeys(epoch=epoch, public_pem=(pem,)),
        targets={},
        expires_utc={**online, **offline},
    )


def envelope(
    counter: int,
    *,
    epoch: int = 1,
    signer: dsse.SoftwareSigner = OLD,
    window_s: int = 60,
    issued_utc: datetime = NOW,
    device: str = "pi-1",
) -> bytes:
    return sign_assignment(
        Assignment(
            device=device,
            fleet="main",
            generation=Generation(epoch, counter),
            issued_utc=issued_utc,
            expires_utc=issued_utc + 90 * DAY,
            window_s=window_s,
            models=(),
        ),
        signer,
    )


class Told:
    """What the device would tell; the port that Desired needs."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def problem(self, error: LamplighterError) -> None:
        self.codes.append(error.code)

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None


class Device:
    """Journal, mark and judgement on one folder; `restart` begins a new process on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_utc = NOW
        self.restart()

    def restart(self) -> None:
        self.told = Told()
        self.journal = Journal(self.folder / "journal.json")
        self.desired = Desired(
            Enrolment(device="pi-1", fleet="main", url="", broker_host="", broker_port=1),
            self.journal,
            HighWaterFile(self.folder / "high-water.json", PINNED),
            self.told,
            lambda: self.now_utc,
        )

    def lose_journal(self) -> None:
        for file in self.folder.glob("journal.json*"):
            file.unlink()

    def offer(self, raw: bytes, seen: TrustView) -> tuple[Generation | None, list[str]]:
        """The generation in force after an envelope came, and which refusals were told."""
        self.told.codes.clear()
        self.desired.take(raw)
        return self.in_force(seen), self.told.codes[:]

    def in_force(self, seen: TrustView) -> Generation | None:
        accepted = self.desired.in_force(seen)
        return accepted.generation if accepted else None


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_the_newest_generation_is_in_force_and_redelivery_is_harmless(device: Device) -> None:
    assert device.offer(envelope(1), view()) == (Generation(1, 1), [])
    assert device.offer(envelope(3), view()) == (Generation(1, 3), [])
    assert device.offer(envelope(3), view()) == (Generation(1, 3), [])
    assert device.offer(b"", view()) == (Generation(1, 3), [])


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (envelope(2), "ASSIGNMENT_STALE"),
        (envelope(3, window_s=61), "ASSIGNMENT_EQUIVOCAL"),
        (envelope(4, epoch=2), "ASSIGNMENT_STALE"),
        (envelope(4, signer=NEW), "SIGNATURE_INVALID"),
        (envelope(4, device="pi-2"), "ASSIGNMENT_FOREIGN"),
        (envelope(4, issued_utc=NOW - 91 * DAY), "ASSIGNMENT_EXPIRED"),
        (b"{}", "MESSAGE_MALFORMED"),
    ],
)
def test_a_refused_envelope_leaves_the_accepted_one_in_force(
    device: Device, raw: bytes, code: str
) -> None:
    device.offer(envelope(3), view())
    assert device.offer(raw, view()) == (Generation(1, 3), [code])
    device.restart()
    assert device.in_force(view()) == Generation(1, 3)


def test_a_lost_journal_does_not_forget_the_generation(device: Device) -> None:
    device.offer(envelope(1), view())
    device.offer(envelope(5), view())
    device.lose_journal()
    device.restart()
    assert device.in_force(view()) is None
    assert device.offer(envelope(1), view()) == (None, ["ASSIGNMENT_STALE"])
    assert device.offer(envelope(5, window_s=9), view()) == (None, ["ASSIGNMENT_EQUIVOCAL"])
    assert device.offer(envelope(5), view()) == (Generation(1, 5), [])


def test_rotated_director_keys_end_what_the_old_ones_assigned(device: Device) -> None:
    device.offer(envelope(2**52), view())  # a thief counts as high as he can
    rotated = view(epoch=2, pem=NEW_PEM)
    assert device.in_force(rotated) is None
    assert device.offer(envelope(2**52 + 1), rotated) == (None, ["SIGNATURE_INVALID"])
    assert device.offer(envelope(1, epoch=2, signer=NEW), rotated) == (Generation(2, 1), [])
    device.restart()
    assert device.in_force(rotated) == Generation(2, 1)


def test_an_assignment_may_arrive_before_the_metadata_that_allows_it(device: Device) -> None:
    device.offer(envelope(7), view())
    early = envelope(1, epoch=2, signer=NEW)
    assert device.offer(early, view()) == (Generation(1, 7), ["SIGNATURE_INVALID"])
    assert device.in_force(view(epoch=2, pem=NEW_PEM)) == Generation(2, 1)


@pytest.mark.parametrize("counter", [2**63, 2**64, -1])
def test_a_generation_beyond_all_bounds_is_malformed(device: Device, counter: int) -> None:
    payload = dsse.verify(envelope(1), PAYLOAD_TYPE, view().director.keys())
    forged = payload.replace(b'"counter":1', b'"counter":%d' % counter)
    assert forged != payload
    device.offer(envelope(1), view())
    told = device.offer(dsse.sign(PAYLOAD_TYPE, forged, OLD), view())
    assert told == (Generation(1, 1), ["MESSAGE_MALFORMED"])


def test_expired_metadata_forbids_changes_and_newer_metadata_allows_them_again(
    device: Device,
) -> None:
    device.offer(envelope(1), view())
    device.now_utc = NOW + 8 * DAY
    assert device.in_force(view()) is None
    device.now_utc = NOW
    assert device.in_force(view()) == Generation(1, 1)


@given(
    offers=st.lists(
        st.tuples(st.integers(1, 2), st.integers(1, 4), st.booleans(), st.sampled_from([60, 61])),
        max_size=12,
    ),
    restarts=st.sets(st.integers(0, 11)),
    losses=st.sets(st.integers(0, 11)),
)
def test_whatever_comes_the_generation_never_goes_back(
    offers: list[tuple[int, int, bool, int]], restarts: set[int], losses: set[int]
) -> None:
    """Law: what is in force was signed by a director of now, and never goes back or changes."""
    with TemporaryDirectory() as name:
        device = Device(Path(name))
        highest: Generation | None = None
        contents: dict[Generation, bytes] = {}
        epoch = 1
        for step, (offered_epoch, counter, is_rotated, window_s) in enumerate(offers):
            if step in losses:
                device.lose_journal()
            if step in restarts | losses:
                device.restart()
            epoch = max(epoch, 2 if is_rotated else 1)
            seen = view() if epoch == 1 else view(epoch=2, pem=NEW_PEM)
            signer = OLD if offered_epoch == 1 else NEW
            raw = envelope(counter, epoch=offered_epoch, signer=signer, window_s=window_s)
            generation, _ = device.offer(raw, seen)
            if generation is None:
                continue
            assert generation.epoch == epoch
            assert highest is None or generation >= highest
            highest = generation
            accepted = device.journal.document.assignment
            assert accepted is not None
            assert contents.setdefault(generation, accepted) == accepted
