"""Whatever people do with whatever credentials: nobody's own plan starts on their own word."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.doors import people_app
from lamplighter_server.people import service, sessions, single_sign_on, tokens
from lamplighter_server.people.access import Caller, Role
from lamplighter_server.people.identity import Identity
from lamplighter_server.rollouts.approval import check_approver, check_start
from lamplighter_server.rollouts.models import Rollout, RolloutDevice

ISSUER = "https://id.example"
PEOPLE = {
    "anna": Role.OPERATOR,
    "bert": Role.APPROVER,
    "cleo": Role.ADMIN,
    "dora": Role.ADMIN,
}
Credential = Literal["password", "single-sign-on", "token", "other-token"]
CREDENTIALS: tuple[Credential, ...] = ("password", "single-sign-on", "token", "other-token")
Step = tuple[str, Credential, str]
steps = st.tuples(
    st.sampled_from(sorted(PEOPLE)),
    st.sampled_from(CREDENTIALS),
    st.sampled_from(["revise", "approve", "approve", "start"]),
)


@dataclass
class Door:
    stage: Any
    clients: dict[tuple[str, Credential], httpx.AsyncClient]

    async def act(self, step: Step, rollout: str, revision: int) -> httpx.Response:
        person, credential, action = step
        client = self.clients[person, credential]
        path = f"/api/v1/rollouts/{rollout}"
        if action == "revise":
            return await client.put(f"{path}/policy", json={"waves": ["100%"]})
        body = {"revision": revision} if action == "approve" else {}
        return await client.post(f"{path}/{action}", json=body)

    async def create(self, person: str, credential: Credential) -> str:
        answer = await self.clients[person, credential].post(
            "/api/v1/rollouts", json={"model": "digits", "release": 1}
        )
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    async def forget(self) -> None:
        async with self.stage.context.database.transaction() as session:
            await session.execute(delete(RolloutDevice))
            await session.execute(delete(Rollout))


@dataclass
class Model:
    """What must be true of the rollout."""

    authors: set[str]
    status: str = "draft"
    revision: int = 1
    approver: str | None = None
    codes: list[str] = field(default_factory=list)

    def expect(self, person: str, action: str) -> str:
        """The code of the refusal, or nothing; the state follows."""
        planned = self.status in {"draft", "approved"}
        if action == "revise":
            if not planned:
                return "STATE_FORBIDS"
            self.authors.add(person)
            self.status, self.approver, self.revision = "draft", None, self.revision + 1
        elif action == "approve":
            if not PEOPLE[person].includes(Role.APPROVER):
                return "ROLE_MISSING"
            if person in self.authors:
                return "APPROVER_IS_CREATOR"
            if self.status != "draft":
                return "STATE_FORBIDS"
            self.status, self.approver = "approved", person
        elif self.status == "draft":
            return "APPROVAL_MISSING"
        elif self.status == "approved":
            self.status = "running"
        else:
            return "STATE_FORBIDS"
        return ""


@pytest.fixture
async def door(stage: Any) -> AsyncIterator[Door]:
    await stage.add_device("cam-1", site="a")
    await stage.add_release("digits", 1)
    own = stage.context.settings.model_copy(
        update={
            "require_approval": True,
            "oidc_issuer": ISSUER,
            "oidc_roles": {str(role): role for role in Role},
        }
    )
    context = replace(stage.context, settings=own)
    app, clients = people_app(context, "unused"), {}
    async with context.database.transaction() as session:
        for name, role in PEOPLE.items():
            user = await service.add(
                session, name, role=role, labels={}, password_hash=None, now_utc=stage.now
            )
            await service.link(session, name, ISSUER, f"subject of {name}")
            identity = Identity(ISSUER, f"subject of {name}", "whatever", frozenset({str(role)}))
            for credential in CREDENTIALS:
                client = httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
                )
                if credential in {"token", "other-token"}:
                    by = Caller(stage.admin.actor, name, role)
                    _, text = await tokens.create(
                        *(session, by),
                        purpose="",
                        role=role,
                        labels={},
                        days=1,
                        now_utc=stage.now,
                    )
                    client.headers["Authorization"] = f"Bearer {text}"
                else:
                    if credential == "single-sign-on":
                        assert await single_sign_on.admit(context, session, identity) is user
                    secret = await sessions.start(session, user, None, stage.now)
                    client.cookies.set(sessions.cookie_name(own), secret)
                    client.headers["X-CSRF-Token"] = sessions.csrf_of(secret)
                clients[name, credential] = client
    yield Door(stage, clients)
    for client in clients.values():
        await client.aclose()


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from(sorted(PEOPLE)),
    st.sampled_from(CREDENTIALS),
    st.lists(steps, min_size=1, max_size=12),
)
async def test_no_sequence_of_actions_starts_what_nobody_else_approved(
    door: Door, creator: str, credential: Credential, actions: list[Step]
) -> None:
    await door.forget()
    rollout = await door.create(creator, credential)
    model = Model(authors={creator})
    for step in actions:
        revision = model.revision
        expected = model.expect(step[0], step[2])
        answer = await door.act(step, rollout, revision)
        assert (answer.json()["code"] if answer.is_error else "") == expected, (step, answer.text)
        async with door.stage.context.database.reading() as session:
            row = await session.get(Rollout, rollout)
        assert (row.status, row.approved_by, set(row.authors)) == (
            *(model.status, model.approver),
            model.authors,
        )
        if row.status == "running":
            assert row.approved_by is not None
            assert row.approved_by not in row.authors


async def test_an_approval_is_of_the_plan_that_was_looked_at(door: Door) -> None:
    rollout = await door.create("anna", "password")
    await door.act(("anna", "password", "revise"), rollout, 1)
    late = await door.act(("bert", "password", "approve"), rollout, 1)
    assert (late.status_code, late.json()["code"]) == (409, "CONFLICT")
    good = await door.act(("bert", "token", "approve"), rollout, 2)
    assert good.json()["approved_by"] == "bert"


async def test_a_draft_from_before_the_setting_needs_an_approval_too(stage: Any) -> None:
    from lamplighter_server.rollouts import service as rollouts
    from lamplighter_server.rollouts.policy import Policy

    await stage.add_device("cam-1", site="a")
    await stage.add_release("digits", 1)
    on = stage.context.settings.model_copy(update={"require_approval": True})
    async with stage.context.database.transaction() as session:
        free = await rollouts.create(
            *(stage.context, session, stage.admin), model="digits", release=1, policy=Policy()
        )
        assert not free.needs_approval
        with pytest.raises(LamplighterError, match="APPROVAL_MISSING"):
            await rollouts.start(replace(stage.context, settings=on), session, stage.admin, free.id)
        assert (await rollouts.start(stage.context, session, stage.admin, free.id)).started_utc


@given(st.sets(st.text(min_size=1), min_size=1), st.text(min_size=1))
def test_who_is_an_author_is_no_approver(authors: set[str], person: str) -> None:
    if person in authors:
        with pytest.raises(LamplighterError, match="APPROVER_IS_CREATOR"):
            check_approver("r", authors, person)
    else:
        check_approver("r", authors, person)


def test_only_a_draft_waits() -> None:
    with pytest.raises(LamplighterError, match="APPROVAL_MISSING"):
        check_start("r", "draft", ["anna"], needs_approval=True)
    check_start("r", "draft", ["anna"], needs_approval=False)
    check_start("r", "approved", ["anna"], needs_approval=True)
    check_start("r", "paused", ["anna"], needs_approval=True)
