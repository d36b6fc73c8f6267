"""What was made from a dataset, and that a person was erased from it."""

from collections.abc import Callable

import httpx
from tests.server.conftest import Stage

from lamplighter_server.doors import people_app

TOKEN = "secret"
USED = "0" * 64


def client(stage: Stage) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(people_app(stage.context, TOKEN)),
        base_url="http://127.0.0.1:8080",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )


async def test_releases_and_devices_by_dataset(stage: Stage) -> None:
    await stage.add_release("digits", 1)
    await stage.add_release("digits", 2)
    for name in ("cam-1", "cam-2"):
        await stage.add_device(name)
    await stage.report("cam-1", committed=2)
    async with client(stage) as people:
        used = (await people.get(f"/api/v1/datasets/{USED}/uses")).json()
        none = (await people.get(f"/api/v1/datasets/{'1' * 64}/uses")).json()
        wrong = await people.get("/api/v1/datasets/x/uses")
    assert used == {
        "releases": [{"model": "digits", "release": 1}, {"model": "digits", "release": 2}],
        "devices": [{"device": "cam-1", "model": "digits", "release": 2}],
    }
    assert none == {"releases": [], "devices": []}
    assert wrong.status_code == 422


async def test_an_erasure_is_a_line_of_the_audit_log(
    stage: Stage, code_of: Callable[[httpx.Response], str]
) -> None:
    body = {"rows_removed": 5, "replaced_by_sha256": None}
    async with client(stage) as people:
        answer = await people.post(f"/api/v1/datasets/{USED}/erasures", json=body)
        assert (answer.status_code, answer.json()) == (201, body)
        lines = (await people.get("/api/v1/audit", params={"subject": USED})).json()
        wrong = await people.post(f"/api/v1/datasets/{USED}/erasures", json={"rows_removed": -1})
    assert [(line["action"], line["subject"], line["after"]) for line in lines] == [
        ("erased", f"dataset/{USED}", body)
    ]
    assert code_of(wrong) == "MESSAGE_MALFORMED"
