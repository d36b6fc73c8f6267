"""What renews itself, and what a person is told in time."""

from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import PAYLOAD_TYPE, DirectorKeys
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET
from lamplighter_server.assignments import renewal as assignments_renewal
from lamplighter_server.assignments import service as assignments
from lamplighter_server.context import Context
from lamplighter_server.devices.models import Device
from lamplighter_server.trust import renewal


async def alerts(people: httpx.AsyncClient) -> dict[str, str]:
    """The command of each open alert by key."""
    found = (await people.get("/api/v1/alerts")).json()
    assert {alert["kind"] for alert in found} <= {"trust-renewal"}
    return {alert["key"]: alert["command"] for alert in found}


async def test_offline_roles_near_their_expiry_raise_an_alert_until_they_are_renewed(
    server: Context, people: httpx.AsyncClient, offline: Any, clock: Any
) -> None:
    await offline.bootstrap()
    clock.later(days=334)
    await renewal.tick(server)
    assert await alerts(people) == {}
    clock.later(days=2)
    for _ in range(2):
        await renewal.tick(server)
    assert await alerts(people) == {
        "trust-renewal/root": "lamplighter keys renew root",
        "trust-renewal/targets": "lamplighter keys renew targets",
    }
    offline.targets.expires = clock().replace(year=clock().year + 1)
    body = {"roles": {"targets": offline.sign_targets()}}
    assert (await people.post("/api/v1/trust/roles", json=body)).status_code == 200
    await renewal.tick(server)
    assert (await alerts(people)).keys() == {"trust-renewal/root"}


@pytest.mark.parametrize("fault", ["other key", "no key", "no file"])
async def test_a_renewal_that_fails_raises_an_alert_until_it_succeeds(
    server: Context, people: httpx.AsyncClient, offline: Any, clock: Any, fault: str
) -> None:
    await offline.bootstrap()
    path = server.keys.folder / "timestamp.pem"
    good = path.read_bytes()
    if fault == "other key":
        path.write_bytes((server.keys.folder / "snapshot.pem").read_bytes())
    elif fault == "no key":
        path.write_bytes(b"broken")
    else:
        path.unlink()
    await renewal.tick(server)
    assert await alerts(people) == {
        "trust-renewal/online": "lamplighter keys rotate snapshot timestamp"
    }
    path.write_bytes(good)
    await renewal.tick(server)
    assert await alerts(people) == {}


async def test_the_server_takes_only_a_root_that_names_its_own_next_key(
    server: Context, people: httpx.AsyncClient, offline: Any, code_of: Any
) -> None:
    url = "/api/v1/trust/online-keys/snapshot/next"
    assert code_of(await people.post(url)) == "TRUST_MISSING"
    await offline.bootstrap()
    made = [(await people.post(url)).json() for _ in range(2)]
    assert made[0] == made[1]
    stranger = CryptoSigner.generate_ed25519().public_key
    assert (await people.post("/api/v1/trust/online-keys/root/next")).is_error

    async def offer(key: Any) -> httpx.Response:
        root = Metadata.from_bytes(offline.sign_root().encode()).signed
        root.version = 2
        for keyid in list(root.roles["snapshot"].keyids):
            root.revoke_key(keyid, "snapshot")
        root.add_key(key, "snapshot")
        metadata = Metadata(root)
        metadata.sign(offline.root_key)
        body = {"roles": {"root": metadata.to_bytes().decode()}}
        return await people.post("/api/v1/trust/roles", json=body)

    assert code_of(await offer(stranger)) == "TRUST_REFUSED"
    document = dict(made[0]["tuf_key"])
    key = type(stranger).from_dict(document.pop("keyid"), document)
    for _ in range(2):  # a repeated step changes nothing
        assert (await offer(key)).status_code == 200
    snapshot = (await people.get("/api/v1/trust/files/snapshot.json")).json()
    assert [item["keyid"] for item in snapshot["signatures"]] == [key.keyid]
    await renewal.tick(server)
    assert server.keys.snapshot.public_key == key


async def test_before_bootstrap_no_step_is_taken(people: httpx.AsyncClient, code_of: Any) -> None:
    answer = await people.post("/api/v1/trust/roles", json={"roles": {"targets": "{}"}})
    assert code_of(answer) == "TRUST_MISSING"
    assert (await people.post("/api/v1/trust/roles", json={"roles": {}})).is_error


async def test_new_director_keys_reach_every_device_with_the_next_tick(
    server: Context, people: httpx.AsyncClient, offline: Any, code_of: Any
) -> None:
    await offline.bootstrap()
    async with server.database.transaction() as session:
        session.add(
            Device(
                id="cam-1",
                labels={},
                inventory={},
                public_key_pem="",
                certificate_serial="",
                telemetry_key=b"",
                enrolled_utc=server.clock(),
                online=False,
                report_counter=0,
            )
        )
        await session.flush()
        await assignments.issue(server, session, ["cam-1"], server.clock())
    made = (await people.post("/api/v1/trust/online-keys/director/next")).json()

    async def offer(epoch: int, pem: str) -> httpx.Response:
        keys = encode(DirectorKeys(epoch=epoch, public_pem=(pem,)))
        offline.name_target(DIRECTOR_KEYS_TARGET, keys)
        body = {
            "roles": {"targets": offline.sign_targets(version=2)},
            "director_keys": keys.decode(),
        }
        return await people.post("/api/v1/trust/roles", json=body)

    assert code_of(await offer(1, made["public_pem"])) == "TRUST_REFUSED"
    stranger = dsse.public_pem(Ed25519PrivateKey.generate().public_key())
    assert code_of(await offer(2, stranger)) == "TRUST_REFUSED"
    assert (await offer(2, made["public_pem"])).status_code == 200
    await assignments_renewal.tick(server)
    async with server.database.reading() as session:
        [row] = await assignments.current(session)
    assert (row.epoch, row.counter) == (2, 1)
    key = dsse.load_public(made["public_pem"])
    assert dsse.verify(row.envelope, PAYLOAD_TYPE, {dsse.key_id(key): key})
