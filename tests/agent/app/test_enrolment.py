"""A board uses an invitation, or asks with a claim until somebody has decided."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.agent.link.test_enrol import Door, serve

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.app.enrolment import LONGEST_PAUSE_S, enrol_device
from lamplighter_agent.store.identity import load_identity
from lamplighter_protocol.enrolment import encode_invitation, fingerprint
from lamplighter_protocol.errors import CATALOGUE, LamplighterError


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with serve(tmp_path) as door:
        yield door


class Person:
    """Reads what the board shows, and decides after some pauses."""

    def __init__(self, door: Door, decides_after: int, verdict: str = "") -> None:
        self.door, self.decides_after, self.verdict = door, decides_after, verdict
        self.lines: list[str] = []
        self.pauses_s: list[float] = []
        self.say("ENROLMENT_PENDING")

    def say(self, code: str) -> None:
        body = msgspec.json.encode({"code": code, "sentence": "So."})
        self.door.refusal = (CATALOGUE[code].http_status, body) if code else None

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def pause(self, pause_s: float) -> None:
        self.pauses_s.append(pause_s)
        if len(self.pauses_s) == self.decides_after:
            self.say(self.verdict)
        assert len(self.pauses_s) <= self.decides_after


def claim(door: Door) -> str:
    return encode_invitation(msgspec.structs.replace(door.invitation(), device=None))


def ask(door: Door, data: DataDir, person: Person, *, replace: bool = False) -> None:
    enrol_device(
        data, claim(door), name="pi-1", replace=replace, tell=person.tell, pause=person.pause
    )


def shown(person: Person) -> str:
    return person.lines[1].rpartition(" ")[2]


def test_a_board_asks_until_it_is_let_in(door: Door, tmp_path: Path) -> None:
    data, person = DataDir(tmp_path / "data"), Person(door, 9)
    ask(door, data, person)
    identity = load_identity(data.identity)
    assert identity.agreement is not None
    assert identity.enrolment.device == "pi-1"
    certificate = x509.load_pem_x509_certificate(identity.certificate_file.read_bytes())
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    agreement = identity.agreement.public_key().public_bytes_raw()
    assert shown(person) == fingerprint("pi-1", der, agreement)
    assert len(person.lines) == 3, "the same answer is shown once"
    assert all(pause_s <= LONGEST_PAUSE_S for pause_s in person.pauses_s)
    assert person.pauses_s[-1] > 2 * person.pauses_s[0]
    assert door.paths == ["/api/v1/enrol/claim"] * 10
    assert not data.offered.exists()


def test_asking_goes_on_under_the_same_fingerprint_after_a_restart(
    door: Door, tmp_path: Path
) -> None:
    data, first = DataDir(tmp_path / "data"), Person(door, 1, "SERVER_UNTRUSTED")
    with pytest.raises(LamplighterError):
        ask(door, data, first)
    second = Person(door, 1)
    ask(door, data, second)
    assert shown(second) == shown(first)


def test_a_board_that_is_refused_stops_and_asks_with_new_keys_only_when_told(
    door: Door, tmp_path: Path
) -> None:
    data, first = DataDir(tmp_path / "data"), Person(door, 1, "DEVICE_REJECTED")
    with pytest.raises(LamplighterError) as error:
        ask(door, data, first)
    assert error.value.code == "DEVICE_REJECTED"
    second = Person(door, 1)
    ask(door, data, second, replace=True)
    assert shown(second) != shown(first)


def test_a_server_that_goes_away_is_waited_for_only_once_it_has_answered(
    door: Door, tmp_path: Path
) -> None:
    person = Person(door, 2)
    data = DataDir(tmp_path / "data")

    def gone_then_back(_pause_s: float) -> None:
        """The first pause: an error that is no refusal. The second: let in."""
        person.pauses_s.append(0)
        door.refusal = (502, b"gateway") if len(person.pauses_s) == 1 else None

    enrol_device(
        data, claim(door), name="pi-1", replace=False, tell=person.tell, pause=gone_then_back
    )
    assert load_identity(data.identity).enrolment.device == "pi-1"
    assert [line.split(":")[0] for line in person.lines[2:]] == [
        "ENROLMENT_PENDING",
        "SERVER_UNREACHABLE",
    ]
    door.refusal = 502, b"gateway"
    with pytest.raises(LamplighterError) as error:
        ask(door, DataDir(tmp_path / "other"), person)
    assert error.value.code == "SERVER_UNREACHABLE"


@pytest.mark.parametrize(
    ("device", "name", "code"),
    [
        (None, "", "NAME_INVALID"),
        (None, "A b", "NAME_INVALID"),
        ("pi-1", "pi-2", "INVITATION_INVALID"),
    ],
)
def test_a_name_comes_from_the_invitation_or_from_whoever_claims(
    door: Door, tmp_path: Path, device: str | None, name: str, code: str
) -> None:
    word = encode_invitation(msgspec.structs.replace(door.invitation(), device=device))
    with pytest.raises(LamplighterError) as error:
        enrol_device(DataDir(tmp_path / "data"), word, name=name, replace=False, tell=print)
    assert error.value.code == code
    assert not (tmp_path / "data").exists()
