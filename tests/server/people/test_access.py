from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Mount

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.actor import Actor
from lamplighter_server.people.access import (
    Access,
    Caller,
    Role,
    Scope,
    check_access,
    covers,
    declared,
    requires,
)
from lamplighter_server.people.guard import PUBLIC, STATIC

labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"))
roles = st.sampled_from(list(Role))


def caller(role: Role, scope: Scope = frozenset()) -> Caller:
    return Caller(Actor("user", "anna"), "anna", role, scope)


@given(roles, roles)
def test_each_role_includes_those_before_it(one: Role, other: Role) -> None:
    assert one.includes(other) or other.includes(one)
    assert (one.includes(other) and other.includes(one)) == (one == other)


@given(labels, labels, labels)
def test_two_scopes_together_allow_what_both_allow(
    one: dict[str, str], other: dict[str, str], device: dict[str, str]
) -> None:
    first, second = Scope(one.items()), Scope(other.items())
    assert covers(first | second, device) == (covers(first, device) and covers(second, device))


@given(st.none() | st.builds(Access, st.none() | roles, st.booleans()), st.none() | roles)
def test_nobody_passes_without_a_declaration_a_role_and_a_scope(
    access: Access | None, role: Role | None
) -> None:
    who = caller(role) if role is not None else None
    allowed = access is not None and (
        access.least is None or (role is not None and role.includes(access.least))
    )
    try:
        check_access(access, who)
    except LamplighterError:
        assert not allowed
    else:
        assert allowed


def test_a_limited_caller_enters_only_where_the_endpoint_narrows() -> None:
    limited = caller(Role.ADMIN, frozenset({("site", "harbour")}))
    check_access(Access(Role.ADMIN, narrows=True), limited)
    with pytest.raises(LamplighterError, match="SCOPE_MISSING"):
        check_access(Access(Role.VIEWER, narrows=False), limited)


def test_every_route_declares_who_may_call_it(house: Any) -> None:
    public = set()
    for route in iter_route_contexts(house.app.routes):
        original: Any = route.original_route
        if isinstance(original, Mount):
            assert f"{original.path}/" == STATIC
            continue
        access = declared(original.endpoint)
        assert access is not None, f"{route.path} declares no role"
        if access.least is None:
            public.add(route.path)
        elif original.methods - {"GET", "HEAD"} and not access.least.includes(Role.OPERATOR):
            # their own things, and a signature under what the audit log says anyway
            own = ("/api/v1/tokens", "/account/", "/sign-out", "/api/v1/audit/heads")
            assert str(route.path).startswith(own), f"{route.path} lets a viewer change something"
    assert public == PUBLIC


async def test_a_route_without_a_declaration_is_closed(
    house: Any, code_of: Callable[[httpx.Response], str]
) -> None:
    async def forgotten() -> str:
        return "secret"

    @requires(Role.ADMIN)
    async def remembered() -> str:
        return "fine"

    house.app.add_api_route("/api/v1/forgotten", forgotten)
    house.app.add_api_route("/api/v1/declared", remembered)
    assert code_of(await house.admin.get("/api/v1/forgotten")) == "ROLE_MISSING"
    assert (await house.admin.get("/api/v1/declared")).json() == "fine"


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        (Role.VIEWER, "GET", "/api/v1/devices", 200),
        (Role.VIEWER, "POST", "/api/v1/devices/invitations", 403),
        (Role.VIEWER, "PUT", f"/api/v1/blobs/{'0' * 64}", 403),
        (Role.VIEWER, "GET", "/api/v1/users", 403),
        (Role.OPERATOR, "POST", "/api/v1/devices/invitations", 422),
        (Role.OPERATOR, "POST", "/api/v1/rollouts/x/approve", 403),
        (Role.OPERATOR, "POST", "/api/v1/trust/bootstrap", 403),
        (Role.APPROVER, "POST", "/api/v1/rollouts/x/approve", 422),
        (Role.APPROVER, "POST", "/api/v1/users", 403),
        (Role.ADMIN, "POST", "/api/v1/users", 422),
        (Role.ADMIN, "POST", "/api/v1/sign-in-links", 403),
    ],
)
async def test_roles_at_the_door(
    house: Any, role: Role, method: str, path: str, status: int
) -> None:
    await house.add("anna", role)
    client = house.client(await house.token("anna", role=role))
    assert (await client.request(method, path)).status_code == status


async def test_without_a_credential_nothing_is_told(
    house: Any, code_of: Callable[[httpx.Response], str]
) -> None:
    nobody = house.client()
    for path in ("/api/v1/devices", "/api/v1/nowhere", "/api/v1/openapi.json", "/account"):
        answer = await nobody.get(path)
        assert (answer.status_code, code_of(answer)) == (401, "NOT_AUTHORISED")
    answer = await nobody.post("/api/v1/users", content=b"{")
    assert (answer.status_code, code_of(answer)) == (401, "NOT_AUTHORISED")
    page = await house.client(Accept="text/html").get("/")
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in")


@pytest.mark.parametrize("given", ["Bearer", "Bearer x", "Basic eA==", "x", "Bearer lamp_a_b"])
async def test_a_wrong_credential_is_no_anonymous_one(house: Any, given: str) -> None:
    for path in ("/api/v1/devices", "/sign-in"):
        answer = await house.client(Authorization=given).get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "NOT_AUTHORISED")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "[::2]", "x"])
async def test_a_foreign_host_is_refused(house: Any, host: str) -> None:
    for client in (house.admin, house.client()):
        answer = await client.get("/sign-in", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "HOST_REFUSED")


async def test_every_answer_has_the_secure_headers(house: Any) -> None:
    paths = ("/", "/sign-in", "/account", "/api/v1/devices", "/api/v1/no", "/console/static/x")
    for client in (house.admin, house.client()):
        for path in paths:
            headers = (await client.get(path)).headers
            assert "unsafe" not in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in headers


async def test_over_tls_browsers_are_told_to_stay_there(open_house: Any) -> None:
    house = await open_house(console_url="https://lamp.example")
    answer = await house.client().get("/sign-in")
    assert answer.headers["strict-transport-security"].startswith("max-age=")
