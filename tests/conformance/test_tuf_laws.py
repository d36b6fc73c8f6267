"""Whatever a repository and its attackers do: versions never go back, nothing unverified is kept.

The machine publishes, rotates, tampers, replays and cuts the power between two steps, and keeps
its own list of what was ever signed in earnest.
"""

import contextlib
import json
import random
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from securesystemslib.signer import CryptoSigner
from tests.agent.tuf_repository import ROLES, Repository
from tuf.api.metadata import Metadata

from lamplighter_agent.trust import device
from lamplighter_agent.trust.store import Store
from lamplighter_protocol.errors import LamplighterError

ONLINE = ("timestamp", "snapshot")
EXPECTED = {None, "TRUST_REFUSED", "TRUST_EXPIRED", "TRUST_MISSING", "MESSAGE_TOO_LARGE"}


class Cut(BaseException):
    """The power goes."""


def meaning(raw: bytes) -> str:
    """What is signed; a signature itself can be written in capitals, too."""
    return json.dumps(json.loads(raw)["signed"], sort_keys=True)


class Fleet(RuleBasedStateMachine):
    """One repository, one device, and somebody between them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.repository = Repository()
        self.repository.delegate("team", "models/cats/*/*")
        self.repository.publish()
        self.root = self.repository.root_bytes
        self.clock_utc = datetime.now(timezone.utc)
        self.honest: set[str] = set()
        self.history: list[dict[str, bytes]] = []
        self.served: dict[str, bytes] = {}
        self.newest: dict[str, int] = {}
        self.rotated = False
        self.serve_honestly()

    def teardown(self) -> None:
        self.folder.cleanup()

    def serve_honestly(self) -> None:
        self.served = dict(self.repository.files)
        self.honest.update(
            meaning(raw) for name, raw in self.served.items() if name != "director-keys.json"
        )
        self.history.append(self.served)

    @rule(release=st.integers(1, 5), role=st.sampled_from(["targets", "team"]))
    def publish(self, release: int, role: str) -> None:
        model = "cats" if role == "team" else "digits"
        self.repository.add(model, release, b"manifest", role=role)
        self.repository.publish()
        self.serve_honestly()

    @rule(role=st.sampled_from(ROLES))
    def rotate(self, role: str) -> None:
        old = self.repository.signers["root"]
        self.repository.rotate(role)
        self.repository.publish_root([*old, *self.repository.signers["root"]])
        self.repository.publish()
        self.rotated |= role in ONLINE
        self.serve_honestly()

    @rule(role=st.sampled_from([*ROLES[1:], "team"]))
    def expire(self, role: str) -> None:
        far_utc = self.repository.expires.get(role)
        self.repository.expires[role] = self.clock_utc - timedelta(hours=1)
        self.repository.publish()
        self.serve_honestly()
        self.repository.expires[role] = far_utc or self.clock_utc + timedelta(days=30)

    @rule(seed=st.randoms(use_true_random=False))
    def replay(self, seed: random.Random) -> None:
        self.served = {**self.served, **seed.choice(self.history)}

    @rule(seed=st.randoms(use_true_random=False))
    def mix(self, seed: random.Random) -> None:
        former = seed.choice(self.history)
        for name in list(former):
            if seed.random() < 0.5:
                self.served[name] = former[name]

    @rule(seed=st.randoms(use_true_random=False))
    def tamper(self, seed: random.Random) -> None:
        name = seed.choice(sorted(self.served))
        raw = bytearray(self.served[name])
        at = seed.randrange(2**20) % len(raw)  # the length of a signature is not drawn
        raw[at] ^= 1 << seed.randrange(7)
        self.served[name] = bytes(raw)

    @rule(role=st.sampled_from([*ROLES, "team"]))
    def forge(self, role: str) -> None:
        """A stranger signs the next version."""
        attacked = {"root": self.repository.root, **self.repository.roles}
        signed = attacked.get(role) or getattr(self.repository, role)
        signed.version += 1
        raw = self.repository.sign(role, signed, [CryptoSigner.generate_ed25519()])
        signed.version -= 1
        name = "timestamp.json" if role == "timestamp" else f"{signed.version + 1}.{role}.json"
        self.served[name] = raw

    @rule(seed=st.randoms(use_true_random=False))
    def withhold(self, seed: random.Random) -> None:
        del self.served[seed.choice(sorted(self.served))]
        self.served.setdefault("1.root.json", self.root)

    @rule()
    def refresh(self) -> None:
        inbox = self.path / "inbox"
        inbox.mkdir(exist_ok=True)
        for old in inbox.iterdir():
            old.unlink()
        for name, raw in self.served.items():
            (inbox / name).write_bytes(raw)
        code = None
        try:
            device.refresh(self.path / "store", inbox, self.root, clock_utc=self.clock_utc)
        except LamplighterError as error:
            code = error.code
        assert code in EXPECTED

    @precondition(lambda self: (self.path / "store/current").exists())
    @rule(step=st.sampled_from(["write_synced", "fsync_directory", "point"]))
    def lose_power(self, step: str) -> None:
        """The power goes while the next refresh brings its set to the disk."""
        store = Store.save.__globals__
        whole = store[step]

        def cut(*_: object) -> None:
            raise Cut

        store[step] = cut
        try:
            with contextlib.suppress(Cut):
                self.refresh()
        finally:
            store[step] = whole

    @rule()
    def recover(self) -> None:
        """Honest metadata that is newer always gets through."""
        self.repository.publish()
        self.serve_honestly()
        self.refresh()
        kept = Store(self.path / "store").load()
        assert kept["timestamp.json"] == self.served["timestamp.json"]

    @invariant()
    def nothing_goes_back(self) -> None:
        kept = Store(self.path / "store").load()
        for name, raw in kept.items():
            if name.endswith(".json"):
                assert meaning(raw) in self.honest, name
        versions = {
            name: Metadata.from_bytes(raw).signed.version
            for name, raw in kept.items()
            if name.endswith(".json")
        }
        for name, version in versions.items():
            assert version >= self.newest.get(name, 0), name
        if not self.rotated:
            assert self.newest.keys() <= versions.keys()
        self.newest |= versions


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
