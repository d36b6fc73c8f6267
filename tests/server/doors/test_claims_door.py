"""Claim and approve: a board asks, a person compares fingerprints and decides."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.server.doors.test_enrolment_door import INVENTORY, make_request
from tests.server.pki.test_certificates import request_pem

from lamplighter_protocol import dsse
from lamplighter_protocol.enrolment import (
    EnrolmentReply,
    EnrolmentRequest,
    Invitation,
    OwnKey,
    decode_invitation,
    telemetry_key,
)
from lamplighter_protocol.renewal import RenewalRequest, sign_renewal
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices

Code = Callable[[httpx.Response], str]
ASK, PENDING = "/api/v1/enrol/claim", "/api/v1/claims/pending"


class Board:
    """One that asks again and again with the same keys."""

    def __init__(self, door: httpx.AsyncClient, claim: Invitation, name: str) -> None:
        self._door = door
        self.name = name
        self.agreement = X25519PrivateKey.generate()
        self.body = make_request(
            msgspec.structs.replace(claim, device=name), self.agreement, name=name
        )

    async def ask(self) -> httpx.Response:
        return await self._door.post(ASK, content=self.body)


Make = Callable[..., Any]


@pytest.fixture
async def claim(people: httpx.AsyncClient, offline: Any) -> Make:
    await offline.bootstrap()

    async def make(days: int = 30, **labels: str) -> Invitation:
        answer = await people.post("/api/v1/claims", json={"labels": labels, "days": days})
        assert answer.status_code == 201, answer.text
        return decode_invitation(answer.json()["invitation"])

    return make


async def pending(people: httpx.AsyncClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await people.get(PENDING)).json()
    return listed


async def decide(
    people: httpx.AsyncClient, board: str, verdict: str = "approve", **body: Any
) -> httpx.Response:
    found = [item for item in await pending(people) if item["device"] == board]
    return await people.post(f"{PENDING}/{found[0]['fingerprint']}/{verdict}", json=body)


async def test_a_board_asks_and_is_let_in(
    server: Context, people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, code_of: Code
) -> None:
    word = await claim(site="mill")
    assert word.device is None
    board = Board(door, word, "cam-1")
    for _ in range(3):
        answer = await board.ask()
        assert (code_of(answer), answer.json()["retryable"]) == ("ENROLMENT_PENDING", True)
    (waiting,) = await pending(people)
    assert (waiting["device"], waiting["labels"]) == ("cam-1", {"site": "mill"})
    assert "aarch64" in waiting["board"]
    assert (await people.get("/api/v1/devices")).json() == []

    assert (await decide(people, "cam-1", labels={"ring": "1"})).status_code == 200
    assert await pending(people) == []
    reply = msgspec.json.decode((await board.ask()).content, type=EnrolmentReply)
    async with server.database.transaction() as session:
        device = await devices.get(session, "cam-1")
    assert device.labels == {"site": "mill", "ring": "1"}
    shared = telemetry_key(board.agreement, reply.agreement_public, "cam-1")
    assert device.telemetry_key == shared


async def test_one_claim_is_for_many_boards_and_each_is_decided_alone(
    people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, code_of: Code
) -> None:
    word = await claim()
    boards = [Board(door, word, f"cam-{number}") for number in range(3)]
    for board in boards:
        await board.ask()
    assert [item["device"] for item in await pending(people)] == ["cam-0", "cam-1", "cam-2"]
    await decide(people, "cam-0")
    await decide(people, "cam-1", "reject")
    answers = [await board.ask() for board in boards]
    assert answers[0].status_code == 200
    assert [code_of(answer) for answer in answers[1:]] == ["DEVICE_REJECTED", "ENROLMENT_PENDING"]


async def test_two_boards_of_one_name_are_told_apart_by_their_fingerprints(
    people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, clock: Any, code_of: Code
) -> None:
    word = await claim()
    wanted, stranger = Board(door, word, "cam-1"), Board(door, word, "cam-1")
    await wanted.ask()
    (first,) = await pending(people)
    await stranger.ask()
    await people.post(f"{PENDING}/{first['fingerprint']}/approve", json={})
    assert code_of(await stranger.ask()) == "ENROLMENT_PENDING"
    assert (await wanted.ask()).status_code == 200
    clock.later(seconds=1)
    assert code_of(await decide(people, "cam-1")) == "DEVICE_EXISTS"
    assert (await decide(people, "cam-1", replace=True)).status_code == 200
    assert (await stranger.ask()).status_code == 200


async def test_an_answer_that_got_lost_is_given_again_until_the_board_has_reported(
    server: Context, people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, code_of: Code
) -> None:
    board = Board(door, await claim(), "cam-1")
    await board.ask()
    await decide(people, "cam-1")
    for _ in range(2):
        assert (await board.ask()).status_code == 200
    async with server.database.transaction() as session:
        (await devices.get(session, "cam-1")).report = {}
    assert code_of(await board.ask()) == "INVITATION_USED"


@pytest.mark.parametrize("seen", [False, True])
async def test_an_approval_ends_when_the_device_is_revoked(
    people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, code_of: Code, seen: bool
) -> None:
    word = await claim()
    first, second = Board(door, word, "cam-1"), Board(door, word, "cam-1")
    await first.ask()
    await decide(people, "cam-1")
    await first.ask()
    await second.ask()
    await decide(people, "cam-1", replace=True)
    await people.post("/api/v1/devices/cam-1/revoke", json={"reason": "stolen"})
    board = first if seen else second
    assert code_of(await board.ask()) == "INVITATION_USED"


async def test_who_asks_is_forgotten_after_a_week_and_so_is_the_decision(
    people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, clock: Any, code_of: Code
) -> None:
    board = Board(door, await claim(), "cam-1")
    await board.ask()
    (waiting,) = await pending(people)
    clock.later(days=7)
    assert await pending(people) == []
    late = await people.post(f"{PENDING}/{waiting['fingerprint']}/approve", json={})
    assert code_of(late) == "ENROLMENT_UNKNOWN"
    assert code_of(await board.ask()) == "ENROLMENT_PENDING"
    await decide(people, "cam-1", "reject")
    clock.later(days=7)
    assert code_of(await board.ask()) == "ENROLMENT_PENDING", "it may ask again"


async def test_nonsense_is_refused_and_stores_nothing(
    people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, code_of: Code
) -> None:
    word = msgspec.structs.replace(await claim(), device="cam-1")
    agreement = X25519PrivateKey.generate()
    for code, content in (
        ("NAME_INVALID", make_request(word, agreement, name="lamplighter.relay")),
        ("MESSAGE_MALFORMED", make_request(word, agreement, csr_pem="no")),
        ("MESSAGE_MALFORMED", make_request(word, agreement, agreement_public=b"short")),
        ("MESSAGE_MALFORMED", make_request(word, agreement, agreement_public=b"\0" * 32)),
        ("MESSAGE_MALFORMED", b"{}"),
    ):
        answer = await door.post("/api/v1/enrol/claim", content=content)
        assert code_of(answer) == code
    assert await pending(people) == []
    unknown = await people.post(f"{PENDING}/none/approve", json={})
    assert code_of(unknown) == "ENROLMENT_UNKNOWN"


async def test_a_key_on_a_token_is_part_of_the_fingerprint(
    people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, code_of: Code
) -> None:
    """The key that speaks for the board is compared too, and must have signed for the other one."""
    word = await claim()
    key, agreement = ec.generate_private_key(ec.SECP256R1()), X25519PrivateKey.generate()
    prints = set()
    for own in (
        None,
        dsse.SoftwareSigner(ec.generate_private_key(ec.SECP256R1())),
        dsse.SoftwareSigner(ec.generate_private_key(ec.SECP256R1())),
    ):
        body = request_with(word, key, agreement, own)
        assert code_of(await door.post(ASK, content=body)) == "ENROLMENT_PENDING"
        prints |= {item["fingerprint"] for item in await pending(people)}
    assert len(prints) == 3
    stranger = request_with(word, ec.generate_private_key(ec.SECP256R1()), agreement, own)
    mixed = msgspec.json.decode(body) | {"csr_pem": msgspec.json.decode(stranger)["csr_pem"]}
    answer = await door.post(ASK, content=msgspec.json.encode(mixed))
    assert code_of(answer) == "SIGNATURE_INVALID"


def request_with(
    word: Invitation,
    key: ec.EllipticCurvePrivateKey,
    agreement: X25519PrivateKey,
    own: dsse.SoftwareSigner | None,
) -> bytes:
    vouched = RenewalRequest(
        device="cam-1", fleet="main", tls_key_pem=dsse.public_pem(key.public_key())
    )
    return msgspec.json.encode(
        EnrolmentRequest(
            device="cam-1",
            token=word.token,
            csr_pem=request_pem(key, "cam-1"),
            agreement_public=agreement.public_key().public_bytes_raw(),
            inventory=INVENTORY,
            own_key=OwnKey(
                public_pem=dsse.public_pem(own.public), renewal=sign_renewal(vouched, own)
            )
            if own
            else None,
        )
    )
