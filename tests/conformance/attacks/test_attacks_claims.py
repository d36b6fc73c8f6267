"""Against claims: what a board, or whoever has a claim, can do before a person has decided."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.server.doors.test_claims_door import Board, Make, decide, pending
from tests.server.doors.test_enrolment_door import make_request

from lamplighter_server.claims import service as claims
from lamplighter_server.claims.models import PendingDevice
from lamplighter_server.context import Context
from lamplighter_server.devices import refusals

Code = Callable[[httpx.Response], str]


async def test_other_keys_under_an_approved_name(
    people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, code_of: Code
) -> None:
    """Who has the claim and saw the signing request cannot put its own agreement key beside it."""
    board = Board(door, await claim(), "cam-1")
    await board.ask()
    await decide(people, "cam-1")
    request = msgspec.json.decode(board.body)
    other = X25519PrivateKey.generate().public_key().public_bytes_raw()
    request["agreement_public"] = msgspec.to_builtins(other)
    answer = await door.post("/api/v1/enrol/claim", content=msgspec.json.encode(request))
    assert code_of(answer) == "ENROLMENT_PENDING"


async def test_a_claim_alone(
    people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, clock: Any, code_of: Code
) -> None:
    word = await claim(days=1)
    board = Board(door, word, "cam-1")
    body = make_request(
        msgspec.structs.replace(word, device="cam-1"), board.agreement, name="cam-1"
    )
    answer = await door.post("/api/v1/enrol", content=body)
    assert code_of(answer) == "INVITATION_INVALID"
    guess = Board(door, msgspec.structs.replace(word, token="guess"), "cam-1")
    assert code_of(await guess.ask()) == "INVITATION_INVALID"
    assert code_of(await board.ask()) == "ENROLMENT_PENDING"
    clock.later(days=2)
    assert code_of(await Board(door, word, "cam-2").ask()) == "INVITATION_INVALID"
    await decide(people, "cam-1")
    assert (await board.ask()).status_code == 200, "it asked in time"


async def test_a_leaked_claim_that_fills_the_list(
    server: Context, people: httpx.AsyncClient, door: httpx.AsyncClient, claim: Make, code_of: Code
) -> None:
    word = await claim()
    last = Board(door, word, "cam-1")
    await last.ask()
    (waiting,) = await pending(people)
    async with server.database.transaction() as session:
        row = await claims.get(session, waiting["fingerprint"], server.clock())
        session.add_all(
            PendingDevice(
                fingerprint=f"{number}",
                claim=row.claim,
                device="cam-2",
                labels={},
                board="",
                address="",
                asked_utc=row.asked_utc,
            )
            for number in range(claims.MAX_PENDING - 1)
        )
    refused = await Board(door, word, "cam-3").ask()
    assert (code_of(refused), refused.status_code) == ("ENROLMENT_FULL", 429)
    assert code_of(await last.ask()) == "ENROLMENT_PENDING", "who waits goes on waiting"
    assert (await people.post("/api/v1/claims/withdraw")).json() == {"claims": 1}
    assert await pending(people) == []
    assert code_of(await last.ask()) == "INVITATION_INVALID"


async def test_guessing_at_the_door_of_devices(
    door: httpx.AsyncClient, claim: Make, code_of: Code
) -> None:
    word = await claim()
    guess = Board(door, msgspec.structs.replace(word, token="guess"), "cam-1")
    codes = [code_of(await guess.ask()) for _ in range(refusals.FREE + 1)]
    assert codes == ["INVITATION_INVALID"] * refusals.FREE + ["ENROLMENT_THROTTLED"]
    assert (await guess.ask()).status_code == 429
