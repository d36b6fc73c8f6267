from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.names import manifest_target
from lamplighter_server.context import Context
from lamplighter_server.releases import service as releases

Code = Callable[[httpx.Response], str]


async def announce(people: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
    return await people.post("/api/v1/releases", json=body)


async def test_a_release_is_taken_in_and_shown(
    server: Context, people: httpx.AsyncClient, offline: Any
) -> None:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    await offline.publish("digits", 2)
    models = (await people.get("/api/v1/models")).json()
    assert [(m["model"], m["releases"], m["newest"]) for m in models] == [("digits", 2, 2)]
    lines = (await people.get("/api/v1/models/digits")).json()["releases"]
    assert [line["release"] for line in lines] == [1, 2]
    shown = (await people.get("/api/v1/models/digits/releases/2")).json()
    assert shown["evidence"]["variants"] == {"onnx-int8": {"accuracy": 0.97}}
    assert [variant["name"] for variant in shown["manifest"]["variants"]] == ["onnx-int8"]
    assert "reference" not in shown["manifest"]
    async with server.database.transaction() as session:
        manifest = await releases.load_manifest(server, session, "digits", 2)
    assert manifest.release == 2


async def test_a_release_never_changes(
    people: httpx.AsyncClient, offline: Any, code_of: Code
) -> None:
    await offline.bootstrap()
    body = await offline.prepare("digits", 1)
    assert (await announce(people, body)).status_code == 201
    assert (await announce(people, body)).status_code == 201
    other = await offline.upload(encode({"accuracy": 0.1}))
    answer = await announce(people, {**body, "evidence_sha256": other})
    assert (answer.status_code, code_of(answer)) == (409, "RELEASE_IMMUTABLE")


async def test_before_bootstrap_nothing_is_published(
    people: httpx.AsyncClient, offline: Any, code_of: Code
) -> None:
    assert code_of(await announce(people, await offline.prepare("digits", 1))) == "TRUST_MISSING"


async def test_a_release_must_be_complete_and_what_was_signed(
    server: Context, people: httpx.AsyncClient, offline: Any, code_of: Code
) -> None:
    await offline.bootstrap()
    body = await offline.prepare("digits", 1)

    async def refusal(**changed: Any) -> str:
        return code_of(await announce(people, {**body, **changed}))

    assert await refusal(manifest_sha256="0" * 64) == "NOT_FOUND"
    assert await refusal(evidence_sha256="0" * 64) == "NOT_FOUND"
    assert await refusal(model="letters") == "TRUST_REFUSED"
    assert await refusal(release=2) == "TRUST_REFUSED"
    assert await refusal(manifest_sha256=body["evidence_sha256"]) == "MESSAGE_MALFORMED"
    assert await refusal(evidence_sha256=await offline.upload(b"no")) == "MESSAGE_MALFORMED"
    assert await refusal(evidence_sha256=await offline.upload(b"{}")) == "TRUST_REFUSED"
    assert await refusal(targets=offline.sign_targets(offline.root_key, 2)) == "SIGNATURE_INVALID"
    assert await refusal(targets=offline.sign_targets(version=3)) == "TRUST_REFUSED"
    assert await refusal(release=0) == "MESSAGE_MALFORMED"
    raw = server.objects.read(body["manifest_sha256"])
    path = manifest_target("digits", 1)
    offline.name_target(path, raw, model="digits", release=2)
    assert await refusal(targets=offline.sign_targets(version=2)) == "TRUST_REFUSED"
    offline.name_target(path, raw + b" ", model="digits", release=1)
    assert await refusal(targets=offline.sign_targets(version=2)) == "TRUST_REFUSED"
    manifest = await _first_file(server, raw)
    server.objects.path(manifest).unlink()
    assert await refusal() == "NOT_FOUND"
    assert (await people.get("/api/v1/models")).json() == []


async def _first_file(server: Context, raw: bytes) -> str:
    from lamplighter_protocol.bundle import decode_manifest

    return decode_manifest(raw).files["model.onnx"].sha256


@pytest.mark.parametrize("change", ["vanish", "alter"])
async def test_former_targets_stay_as_they_are(
    people: httpx.AsyncClient, offline: Any, code_of: Code, change: str
) -> None:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    path = manifest_target("digits", 1)
    if change == "vanish":
        del offline.targets.targets[path]
    else:
        offline.name_target(path, b"other", model="digits", release=1)
    assert code_of(await announce(people, await offline.prepare("digits", 2))) == "TRUST_REFUSED"


async def test_a_blob_is_stored_only_under_its_digest(
    server: Context, people: httpx.AsyncClient, code_of: Code
) -> None:
    digest = sha256(b"content")
    answer = await people.put(f"/api/v1/blobs/{digest}", content=b"other")
    assert (answer.status_code, code_of(answer)) == (422, "BLOB_REFUSED")
    assert not server.objects.has(digest)
    assert (await people.put(f"/api/v1/blobs/{digest}", content=b"content")).status_code == 201
    assert (await people.put(f"/api/v1/blobs/{digest}", content=b"content")).status_code == 200
    assert server.objects.read(digest) == b"content"
    answer = await people.put("/api/v1/blobs/..", content=b"content")
    assert answer.is_error


async def test_what_does_not_exist_is_said(people: httpx.AsyncClient, code_of: Code) -> None:
    assert code_of(await people.get("/api/v1/models/digits")) == "NOT_FOUND"
    assert code_of(await people.get("/api/v1/models/digits/releases/1")) == "NOT_FOUND"
    assert code_of(await people.get("/api/v1/models/digits/releases/0")) == "MESSAGE_MALFORMED"
