"""Publishing in spite of gates: who may ask, who must agree, and what the log keeps."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.server.conftest import Stage

from lamplighter_server.doors import people_app
from lamplighter_server.people import service, tokens
from lamplighter_server.people.access import Caller, Role

Code = Callable[[httpx.Response], str]
PEOPLE = {"vera": Role.VIEWER, "anna": Role.OPERATOR, "bert": Role.APPROVER, "dora": Role.ADMIN}
DIGEST = "a" * 64
PATH = "/api/v1/overrides"
ASKED = {
    "model": "digits",
    "bundle_sha256": DIGEST,
    "gates": ["latency <= 5 ms", "accuracy >= 0.9"],
    "reason": "the old release fails on the new camera",
}
Door = dict[str, httpx.AsyncClient]


@pytest.fixture(params=[True, False], ids=["four-eyes", "two-eyes"])
async def door(stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    settings = stage.context.settings.model_copy(update={"require_approval": request.param})
    context = replace(stage.context, settings=settings)
    app = people_app(context, "unused")
    async with AsyncExitStack() as stack:
        clients = {}
        async with context.database.transaction() as session:
            for name, role in PEOPLE.items():
                await service.add(
                    session, name, role=role, labels={}, password_hash=None, now_utc=stage.now
                )
                by = Caller(stage.admin.actor, name, role)
                _, text = await tokens.create(
                    *(session, by), purpose="", role=role, labels={}, days=1, now_utc=stage.now
                )
                clients[name] = await stack.enter_async_context(
                    httpx.AsyncClient(
                        transport=httpx.ASGITransport(app),
                        base_url="http://127.0.0.1",
                        headers={"Authorization": f"Bearer {text}"},
                    )
                )
        yield clients


def four_eyes(request: pytest.FixtureRequest) -> bool:
    return "four-eyes" in request.node.name


async def test_who_asks_cannot_agree_alone(
    door: Door, code_of: Code, request: pytest.FixtureRequest
) -> None:
    assert code_of(await door["vera"].post(PATH, json=ASKED)) == "ROLE_MISSING"
    asked = await door["bert"].post(PATH, json=ASKED)
    assert asked.status_code == 201
    body = asked.json()
    assert (body["person"], body["approved_by"]) == ("bert", None)
    assert body["gates"] == sorted(ASKED["gates"])
    assert body["in_force"] is not four_eyes(request)
    approval = {"reason": ASKED["reason"]}
    path = f"{PATH}/{DIGEST}/approve"
    assert code_of(await door["anna"].post(path, json=approval)) == "ROLE_MISSING"
    assert code_of(await door["bert"].post(path, json=approval)) == "APPROVER_IS_CREATOR"
    assert code_of(await door["dora"].post(path, json={"reason": "other"})) == "CONFLICT"
    done = (await door["dora"].post(path, json=approval)).json()
    assert (done["in_force"], done["approved_by"]) == (True, "dora")
    assert (await door["vera"].get(f"{PATH}/{DIGEST}")).json() == done
    assert (await door["vera"].get(PATH)).json() == [done]


async def test_asking_again_is_harmless_and_asking_for_more_voids_the_approval(
    door: Door, request: pytest.FixtureRequest
) -> None:
    await door["anna"].post(PATH, json=ASKED)
    await door["bert"].post(f"{PATH}/{DIGEST}/approve", json={"reason": ASKED["reason"]})
    same = (await door["anna"].post(PATH, json=ASKED)).json()
    assert same["approved_by"] == "bert"
    for changed in ({"reason": "other"}, {"gates": ["size <= 1 bytes"]}):
        again = (await door["anna"].post(PATH, json={**ASKED, **changed})).json()
        assert again["approved_by"] is None
        assert again["in_force"] is not four_eyes(request)


async def test_the_log_names_person_gates_and_reason(door: Door) -> None:
    await door["anna"].post(PATH, json=ASKED)
    await door["bert"].post(f"{PATH}/{DIGEST}/approve", json={"reason": ASKED["reason"]})
    lines = (await door["dora"].get("/api/v1/audit", params={"subject": "gate_override"})).json()
    approved, asked = lines
    assert asked["after"]["person"] == "anna"
    assert asked["after"]["reason"] == ASKED["reason"]
    assert asked["after"]["gates"] == sorted(ASKED["gates"])
    assert approved["after"] == {"approved_by": "bert"}
    assert asked["subject"] == f"gate_override/{DIGEST}"


@pytest.mark.parametrize(
    "changed",
    [{"reason": " "}, {"reason": "x" * 1001}, {"gates": []}, {"bundle_sha256": "x"}, {"model": ""}],
)
async def test_a_decision_needs_its_particulars(
    door: Door, code_of: Code, changed: dict[str, Any]
) -> None:
    answer = await door["anna"].post(PATH, json={**ASKED, **changed})
    assert code_of(answer) == "MESSAGE_MALFORMED"


async def test_what_nobody_asked_for_is_not_found(door: Door, code_of: Code) -> None:
    assert code_of(await door["dora"].get(f"{PATH}/{DIGEST}")) == "NOT_FOUND"
    answer = await door["dora"].post(f"{PATH}/{DIGEST}/approve", json={"reason": "x"})
    assert code_of(answer) == "NOT_FOUND"
