import gzip
from collections.abc import Callable

import httpx

Code = Callable[[httpx.Response], str]


async def test_refusals_have_one_shape(people: httpx.AsyncClient, code_of: Code) -> None:
    assert code_of(await people.get("/api/v1/nowhere")) == "NOT_FOUND"
    assert code_of(await people.get("/api/v1/devices/ghost")) == "DEVICE_UNKNOWN"
    assert (await people.put("/api/v1/devices")).status_code == 405
    answer = await people.post("/api/v1/devices/invitations", json={"labels": 3})
    assert (answer.status_code, code_of(answer)) == (422, "MESSAGE_MALFORMED")
    answer = await people.post("/api/v1/trust/bootstrap", content=b"x" * 17_000_000)
    assert (answer.status_code, code_of(answer)) == (413, "MESSAGE_TOO_LARGE")


async def test_a_compressed_body_is_not_unpacked(people: httpx.AsyncClient, code_of: Code) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    body = gzip.compress(b'{"device":"pi-1","labels":{}}')
    answer = await people.post("/api/v1/devices/invitations", content=body, headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, "MESSAGE_MALFORMED")


async def test_the_figures_start_at_nothing(people: httpx.AsyncClient) -> None:
    assert (await people.get("/api/v1/figures")).json() == {
        "server_published_bytes": 0,
        "ingested_messages": 0,
        "refused": {},
        "broker_sent_bytes": 0,
        "broker_received_bytes": 0,
    }


async def test_the_interface_describes_itself(people: httpx.AsyncClient) -> None:
    paths = (await people.get("/api/v1/openapi.json")).json()["paths"]
    assert {"/api/v1/devices", "/api/v1/releases", "/api/v1/figures"} <= paths.keys()
