"""What renews itself, and what a person is told in time."""

from typing import Any

import httpx
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from lamplighter_server.context import Context
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
