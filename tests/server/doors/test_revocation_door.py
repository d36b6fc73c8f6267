from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.server.doors.test_enrolment_door import make_request

from lamplighter_protocol.enrolment import Invitation, decode_invitation
from lamplighter_server.context import Context
from lamplighter_server.devices import certificates, revocation
from lamplighter_server.devices.models import Device

Code = Callable[[httpx.Response], str]


@pytest.fixture
async def invite(people: httpx.AsyncClient, offline: Any) -> Callable[..., Any]:
    await offline.bootstrap()

    async def make(device: str) -> Invitation:
        answer = await people.post(
            "/api/v1/devices/invitations", json={"device": device, "replace": True}
        )
        return decode_invitation(answer.json()["invitation"])

    return make


async def enrol(door: httpx.AsyncClient, invitation: Invitation) -> httpx.Response:
    return await door.post(
        "/api/v1/enrol", content=make_request(invitation, X25519PrivateKey.generate())
    )


async def revoked_serials(server: Context) -> set[str]:
    async with server.database.reading() as session:
        return {item.serial for item in await certificates.revoked(session, server.clock())}


async def serial_of(server: Context, device: str) -> str:
    async with server.database.reading() as session:
        found = await session.get(Device, device)
        assert found is not None
        return found.certificate_serial


async def test_a_revoked_device_is_shown_and_only_a_newer_invitation_lets_it_back(
    server: Context, people: httpx.AsyncClient, door: httpx.AsyncClient, invite: Any, code_of: Code
) -> None:
    await enrol(door, await invite("cam-1"))
    first, waiting = await serial_of(server, "cam-1"), await invite("cam-1")
    answer = await people.post("/api/v1/devices/cam-1/revoke", json={"reason": "stolen"})
    assert answer.status_code == 200, answer.text
    again = await people.post("/api/v1/devices/cam-1/revoke", json={"reason": "other"})
    assert again.json() == answer.json()
    shown = (await people.get("/api/v1/devices/cam-1")).json()
    assert (shown["revoked_reason"], shown["online"]) == ("stolen", False)
    assert shown["revoked_utc"].endswith("Z")
    assert await revoked_serials(server) == {first}

    assert code_of(await enrol(door, waiting)) == "INVITATION_INVALID"
    assert (await enrol(door, await invite("cam-1"))).status_code == 200
    shown = (await people.get("/api/v1/devices/cam-1")).json()
    assert (shown["revoked_utc"], shown["revoked_reason"]) == (None, None)
    assert await revoked_serials(server) == {first}
    assert await serial_of(server, "cam-1") != first
    assert await revocation.to_cut_off(server) == []


async def test_enrolling_anew_revokes_what_the_lost_key_could_still_use(
    server: Context, door: httpx.AsyncClient, invite: Any
) -> None:
    await enrol(door, await invite("cam-1"))
    first = await serial_of(server, "cam-1")
    await enrol(door, await invite("cam-1"))
    assert await revoked_serials(server) == {first}


async def test_a_revoked_certificate_is_listed_until_it_expires(
    server: Context, people: httpx.AsyncClient, door: httpx.AsyncClient, invite: Any, clock: Any
) -> None:
    await enrol(door, await invite("cam-1"))
    await people.post("/api/v1/devices/cam-1/revoke", json={})
    assert len(await revoked_serials(server)) == 1
    clock.now += timedelta(seconds=server.settings.certificate_lifetime_s)
    assert await revoked_serials(server) == set()


async def test_a_retired_device_is_listed_on_request_only(
    people: httpx.AsyncClient, door: httpx.AsyncClient, invite: Any
) -> None:
    for name in ("cam-1", "cam-2"):
        await enrol(door, await invite(name))
    answer = await people.post("/api/v1/devices/cam-1/retire", json={})
    assert answer.json()["retired_utc"] is not None
    assert answer.json()["revoked_reason"] == "retired"
    listed = (await people.get("/api/v1/devices")).json()
    assert [device["id"] for device in listed] == ["cam-2"]
    listed = (await people.get("/api/v1/devices?retired=true")).json()
    assert [device["id"] for device in listed] == ["cam-1", "cam-2"]
    assert (await people.get("/api/v1/devices/cam-1")).status_code == 200


async def test_a_device_that_nobody_knows_is_not_revoked(
    people: httpx.AsyncClient, code_of: Code
) -> None:
    for path in ("revoke", "retire"):
        answer = await people.post(f"/api/v1/devices/cam-9/{path}", json={})
        assert code_of(answer) == "DEVICE_UNKNOWN"
    too_long = await people.post("/api/v1/devices/cam-9/revoke", json={"reason": "x" * 201})
    assert too_long.is_client_error
