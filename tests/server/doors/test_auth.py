from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.auth import LOOPBACK, check_request, load_or_create_token

Code = Callable[[httpx.Response], str]


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080"])
def test_readers_on_loopback_are_free(host: str) -> None:
    check_request("GET", Headers({"host": host}), token="t", hosts=LOOPBACK)


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example:8080", "[::2]"])
def test_a_foreign_host_is_refused_even_with_the_token(host: str) -> None:
    headers = Headers({"host": host, "authorization": "Bearer t"})
    with pytest.raises(LamplighterError, match="NOT_AUTHORISED"):
        check_request("GET", headers, token="t", hosts=LOOPBACK)


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer x", "Basic t", "t", "Bearer t t"])
def test_a_change_needs_the_token(given: str) -> None:
    headers = Headers({"host": "localhost", "authorization": given})
    with pytest.raises(LamplighterError, match="NOT_AUTHORISED"):
        check_request("POST", headers, token="t", hosts=LOOPBACK)
    headers = Headers({"host": "localhost", "authorization": "Bearer t"})
    check_request("DELETE", headers, token="t", hosts=LOOPBACK)


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    token = load_or_create_token(tmp_path / "admin.token")
    assert len(token) >= 32
    assert load_or_create_token(tmp_path / "admin.token") == token
    assert (tmp_path / "admin.token").stat().st_mode & 0o777 == 0o600


async def test_the_door_refuses_a_change_without_token(
    people: httpx.AsyncClient, code_of: Code
) -> None:
    del people.headers["Authorization"]
    assert (await people.get("/api/v1/devices")).json() == []
    answer = await people.post("/api/v1/devices/invitations", json={"device": "a"})
    assert (answer.status_code, code_of(answer)) == (401, "NOT_AUTHORISED")


async def test_refusals_have_one_shape(people: httpx.AsyncClient, code_of: Code) -> None:
    assert code_of(await people.get("/api/v1/nowhere")) == "NOT_FOUND"
    assert code_of(await people.get("/api/v1/devices/ghost")) == "DEVICE_UNKNOWN"
    assert (await people.put("/api/v1/devices")).status_code == 405
    answer = await people.post("/api/v1/devices/invitations", json={"labels": 3})
    assert (answer.status_code, code_of(answer)) == (422, "MESSAGE_MALFORMED")
    answer = await people.post("/api/v1/trust/bootstrap", content=b"x" * 17_000_000)
    assert (answer.status_code, code_of(answer)) == (413, "MESSAGE_TOO_LARGE")


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
