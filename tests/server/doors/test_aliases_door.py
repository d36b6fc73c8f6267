from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lamplighter_server.context import Context

Code = Callable[[httpx.Response], str]
ALIASES = "/api/v1/models/digits/aliases"


@pytest.fixture(autouse=True)
async def published(server: Context, offline: Any) -> None:
    await offline.bootstrap()
    for number in (1, 2):
        await offline.publish("digits", number)


async def test_a_name_is_set_moved_and_forgotten(people: httpx.AsyncClient, code_of: Code) -> None:
    for number in (1, 2):
        answer = await people.put(f"{ALIASES}/champion", json={"release": number})
        assert (answer.status_code, answer.json()["release"]) == (200, number)
    assert (await people.get(f"{ALIASES}/champion")).json()["release"] == 2
    shown = (await people.get("/api/v1/models/digits")).json()["aliases"]
    assert shown == (await people.get("/api/v1/aliases")).json()
    assert [(item["alias"], item["release"]) for item in shown] == [("champion", 2)]
    assert (await people.delete(f"{ALIASES}/champion")).json()["release"] == 2
    assert code_of(await people.get(f"{ALIASES}/champion")) == "NOT_FOUND"
    assert code_of(await people.delete(f"{ALIASES}/champion")) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("name", "release", "code"),
    [
        ("champion", 3, "NOT_FOUND"),
        ("7", 1, "NAME_INVALID"),
        ("Champion", 1, "NAME_INVALID"),
        ("..", 1, "NAME_INVALID"),
        ("a" * 64, 1, "NAME_INVALID"),
    ],
)
async def test_only_a_name_for_a_release_that_there_is(
    people: httpx.AsyncClient, code_of: Code, name: str, release: int, code: str
) -> None:
    path = f"{ALIASES}/{name.replace('.', '%2e')}"
    assert code_of(await people.put(path, json={"release": release})) == code
    assert (await people.get("/api/v1/aliases")).json() == []


async def test_moving_a_name_is_in_the_audit_log(people: httpx.AsyncClient) -> None:
    for number in (1, 2):
        await people.put(f"{ALIASES}/champion", json={"release": number})
    lines = (await people.get("/api/v1/audit", params={"subject": "alias"})).json()
    moves = [
        ((line["before"] or {}).get("release"), line["after"]["release"])
        for line in reversed(lines)
    ]
    assert moves == [(None, 1), (1, 2)]
