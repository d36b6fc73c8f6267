from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.server.console.test_console_pages import HOSTILE, check_clean
from tests.server.doors.test_enrolment_door import INVENTORY, make_request

from lamplighter_protocol.enrolment import EnrolmentRequest, decode_invitation
from lamplighter_server.claims import service as claims
from lamplighter_server.console import endpoints
from lamplighter_server.trust.files import FIRST_ROOT
from lamplighter_server.trust.models import TrustFileRow

PAGE = "/console/waiting"


@pytest.fixture(autouse=True)
async def root(stage: Any) -> None:
    """A claim pins the first root by its bytes."""
    async with stage.context.database.transaction() as session:
        session.add(TrustFileRow(name=FIRST_ROOT, body=b"{}", published=True))


async def ask(stage: Any, people: httpx.AsyncClient, name: str) -> EnrolmentRequest:
    """A board that calls itself something hostile asks."""
    made = await people.post("/api/v1/claims", json={"labels": {"site": "mill"}})
    word = decode_invitation(made.json()["invitation"])
    word = msgspec.structs.replace(word, device=name)
    inventory = msgspec.structs.replace(INVENTORY, machine=HOSTILE)
    raw = make_request(word, X25519PrivateKey.generate(), inventory=inventory)
    request = msgspec.json.decode(raw, type=EnrolmentRequest)
    async with stage.context.database.transaction() as session:
        assert await claims.ask(stage.context, session, request, "127.0.0.1") is None
    return request


async def fingerprint(people: httpx.AsyncClient, name: str) -> str:
    listed = (await people.get("/api/v1/claims/pending")).json()
    return next(str(item["fingerprint"]) for item in listed if item["device"] == name)


async def test_who_asks_is_shown_and_decided_on(stage: Any, people: httpx.AsyncClient) -> None:
    wanted, other = await ask(stage, people, "new-1"), await ask(stage, people, "new-2")
    html = (await people.get(PAGE)).text
    check_clean(html)
    first, second = await fingerprint(people, "new-1"), await fingerprint(people, "new-2")
    assert first in html
    assert second in html
    assert "<script>alert" not in html

    answer = await people.post(f"{PAGE}/{first}/approve")
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert (await people.post(f"{PAGE}/{second}/reject")).status_code == 303
    assert "Nobody asks" in (await people.get(PAGE)).text
    late = await people.post(f"{PAGE}/{first}/reject")
    assert (late.status_code, "ls --pending" in late.text) == (404, True)
    async with stage.context.database.transaction() as session:
        assert await claims.ask(stage.context, session, wanted, "") is not None
    listed = {item["id"] for item in (await people.get("/api/v1/devices")).json()}
    assert "new-1" in listed
    assert other.device not in listed


async def test_a_name_in_use_needs_a_second_word(stage: Any, people: httpx.AsyncClient) -> None:
    await stage.add_device("pi-1")
    await ask(stage, people, "pi-1")
    key = await fingerprint(people, "pi-1")
    refused = await people.post(f"{PAGE}/{key}/approve")
    assert (refused.status_code, "is enrolled" in refused.text) == (409, True)
    allowed = await people.post(f"{PAGE}/{key}/approve", data={"replace": "true"})
    assert allowed.status_code == 303


async def test_the_fleet_says_that_somebody_asks(
    stage: Any, people: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "READ_INTERVAL_S", 0.0)
    assert "to be let in" not in (await people.get("/")).text
    await ask(stage, people, "new-1")
    html = (await people.get("/")).text
    assert check_clean(html)
    assert "to be let in" in html
