import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from securesystemslib.signer import CryptoSigner
from sqlalchemy import select
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, manifest_target
from lamplighter_server.context import Context
from lamplighter_server.outbox.models import OutboxRow
from lamplighter_server.trust import renewal
from lamplighter_server.trust import service as trust

Code = Callable[[httpx.Response], str]


class Retained(FetcherInterface):
    """What a broker would hold after everything in the outbox was delivered."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rsplit("/", 1)[-1]
        if name not in self.files:
            raise DownloadHTTPError(url, 404)
        yield self.files[name]


async def deliver(server: Context) -> dict[str, bytes]:
    held: dict[str, bytes] = {}
    async with server.database.transaction() as session:
        for row in await session.scalars(select(OutboxRow).order_by(OutboxRow.id)):
            held[server.topics.parse_trust(row.topic)] = row.payload
            assert row.retain
    return {name: content for name, content in held.items() if content}


def refresh(folder: Path, files: dict[str, bytes], root: bytes) -> Updater:
    """A complete refresh by the client that devices use."""
    folder.mkdir(exist_ok=True)
    address = "http://broker/"
    updater = Updater(
        str(folder), address, str(folder), address, fetcher=Retained(files), bootstrap=root
    )
    updater.refresh()
    return updater


async def test_a_tuf_client_accepts_what_is_published(
    server: Context, offline: Any, tmp_path: Path
) -> None:
    await offline.bootstrap()
    files = await deliver(server)
    root = files["1.root.json"]
    updater = refresh(tmp_path / "device", files, root)
    target = updater.get_targetinfo(DIRECTOR_KEYS_TARGET)
    assert target is not None
    assert target.hashes["sha256"] == sha256(files["director-keys.json"])

    await offline.publish("digits", 1)
    files = await deliver(server)
    assert files.keys() == {
        *("1.root.json", "2.targets.json", "2.snapshot.json", "timestamp.json"),
        *("director-keys.json", "index"),
    }
    assert refresh(tmp_path / "device", files, root).get_targetinfo(manifest_target("digits", 1))
    index = json.loads(files.pop("index"))
    assert {item["name"]: item["sha256"] for item in index["files"]} == {
        name: sha256(content) for name, content in files.items()
    }


async def test_the_index_is_told_after_the_files_and_before_removals(
    server: Context, offline: Any
) -> None:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    async with server.database.transaction() as session:
        rows = (await session.scalars(select(OutboxRow).order_by(OutboxRow.id))).all()
        held = await trust.published(session)
    told = [(server.topics.parse_trust(row.topic), bool(row.payload)) for row in rows]
    second = told[told.index(("index", True)) + 1 :]
    index = second.index(("index", True))
    assert all(full for _, full in second[:index])
    assert second[index + 1 :] == [("1.snapshot.json", False), ("1.targets.json", False)]
    assert held[-1][0] == "index"
    assert held[-1][1] == rows[-3].payload


async def test_the_timestamp_says_when_it_was_made(
    server: Context, people: httpx.AsyncClient, offline: Any, clock: Any
) -> None:
    await offline.bootstrap()
    signed = (await people.get("/api/v1/trust/files/timestamp.json")).json()["signed"]
    assert signed["issued_utc"] == clock().strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("days", "snapshot", "timestamp"), [(3, 1, 1), (4, 1, 2), (14, 1, 2), (16, 2, 2)]
)
async def test_online_roles_are_renewed_in_the_first_half_of_their_life(
    server: Context,
    offline: Any,
    clock: Any,
    tmp_path: Path,
    days: int,
    snapshot: int,
    timestamp: int,
) -> None:
    await offline.bootstrap()
    clock.later(days=days)
    for _ in range(2):  # the second tick finds nothing to do
        await renewal.tick(server)
    files = await deliver(server)
    assert json.loads(files["timestamp.json"])["signed"]["version"] == timestamp
    assert f"{snapshot}.snapshot.json" in files
    if days < 7:
        refresh(tmp_path / "device", files, files["1.root.json"])


async def test_a_tick_before_bootstrap_does_nothing(server: Context) -> None:
    await renewal.tick(server)
    assert await deliver(server) == {}


async def test_bootstrap_happens_once(
    people: httpx.AsyncClient, offline: Any, code_of: Code
) -> None:
    body = offline.bootstrap_body()
    for _ in range(2):
        answer = await people.post("/api/v1/trust/bootstrap", json=body)
        assert answer.status_code == 201
    offline.root.expires += timedelta(days=1)
    answer = await people.post(
        "/api/v1/trust/bootstrap", json={**body, "root": offline.sign_root()}
    )
    assert (answer.status_code, code_of(answer)) == (409, "CONFLICT")
    assert (await people.get("/api/v1/trust/files/1.root.json")).text == body["root"]
    for name in ("root.json", "1.targets.json", "targets.json", "snapshot.json"):
        assert (await people.get(f"/api/v1/trust/files/{name}")).json()["signed"]["version"] == 1
    for name in ("2.root.json", "json", "keys.json"):
        assert code_of(await people.get(f"/api/v1/trust/files/{name}")) == "NOT_FOUND"


async def test_bootstrap_is_verified(
    people: httpx.AsyncClient, server: Context, offline: Any, clock: Any, code_of: Code
) -> None:
    good = offline.bootstrap_body()
    stranger = CryptoSigner.generate_ed25519()

    async def refusal(**changed: str) -> str:
        answer = await people.post("/api/v1/trust/bootstrap", json={**good, **changed})
        return code_of(answer)

    assert await refusal(root=offline.sign_root(stranger)) == "SIGNATURE_INVALID"
    assert await refusal(targets=offline.sign_targets(stranger, 1)) == "SIGNATURE_INVALID"
    assert await refusal(targets=offline.sign_targets(version=2)) == "TRUST_REFUSED"
    assert await refusal(root=good["targets"]) == "MESSAGE_MALFORMED"
    assert await refusal(root="{}") == "MESSAGE_MALFORMED"
    assert await refusal(targets=good["root"]) == "MESSAGE_MALFORMED"
    assert await refusal(director_keys=good["director_keys"] + " ") == "TRUST_REFUSED"
    other = encode({"epoch": 1, "public_pem": []})
    offline.name_target(DIRECTOR_KEYS_TARGET, other)
    targets = offline.sign_targets(version=1)
    assert await refusal(targets=targets, director_keys=other.decode()) == "TRUST_REFUSED"
    offline.root.revoke_key(server.keys.timestamp.public_key.keyid, "timestamp")
    offline.root.add_key(stranger.public_key, "timestamp")
    assert await refusal(root=offline.sign_root()) == "TRUST_REFUSED"
    clock.later(days=400)
    assert await refusal() == "TRUST_EXPIRED"


async def test_the_online_keys_are_shown(people: httpx.AsyncClient, server: Context) -> None:
    shown = (await people.get("/api/v1/trust/online-keys")).json()
    assert shown["epoch"] == 1
    assert shown["director_public_pem"] == [server.keys.director_public_pem]
    assert shown["snapshot"].keys() == {"keyid", "keytype", "scheme", "keyval"}
    assert shown["snapshot"]["keyid"] == server.keys.snapshot.public_key.keyid
