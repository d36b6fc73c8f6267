from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher, extract_parameters
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_server.people import service, sessions, throttle
from lamplighter_server.people.access import Role
from lamplighter_server.people.models import FailedSignIn, User, UserSession
from lamplighter_server.people.passwords import Passwords

PASSWORD = "correct horse battery"
Code = Callable[[httpx.Response], str]


async def sign_in(client: httpx.AsyncClient, name: str, password: str) -> httpx.Response:
    return await client.post("/sign-in", data={"name": name, "password": password})


async def test_a_person_signs_in_looks_around_and_leaves(house: Any) -> None:
    await house.add("anna")
    client = house.client()
    client.headers["Accept"] = "text/html"
    assert "Sign in" in (await client.get("/sign-in")).text
    entered = await sign_in(client, "anna", PASSWORD)
    assert entered.status_code == 200
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    page = await client.get("/")
    assert "anna" in page.text
    csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
    left = await client.post("/sign-out", data={"csrf": csrf})
    assert left.headers["location"] == "/sign-in"
    assert (await client.get("/")).headers["location"] == "/sign-in"


async def test_a_copied_cookie_ends_with_the_session(house: Any, code_of: Code) -> None:
    await house.add("anna")
    browser, thief = await house.browser("anna"), house.client()
    thief.cookies.update(browser.client.cookies)
    assert (await thief.get("/api/v1/me")).status_code == 200
    await browser.post("/sign-out")
    assert code_of(await thief.get("/api/v1/me")) == "NOT_AUTHORISED"


async def test_over_tls_the_cookie_never_leaves_it(open_house: Any) -> None:
    house = await open_house(console_url="https://lamp.example")
    await house.add("anna")
    cookie = (await sign_in(house.client(), "anna", PASSWORD)).headers["set-cookie"]
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie


async def test_every_failure_looks_the_same(house: Any) -> None:
    await house.add("anna")
    await house.add("gone")
    await house.admin.post("/api/v1/users/gone/disable")
    await house.admin.post("/api/v1/users", json={"name": "sso", "role": "viewer"})
    told = set()
    for name, password in (
        ("anna", "wrong"),
        ("nobody", PASSWORD),
        ("gone", PASSWORD),
        ("sso", ""),
        ("anna", "x" * 100_000),
        ("admin", "x"),
    ):
        answer = await house.client().post(
            "/api/v1/sign-in", json={"name": name, "password": password}
        )
        told.add((answer.status_code, answer.text))
    assert len(told) == 1
    assert "SIGN_IN_FAILED" in told.pop()[1]


async def test_the_unknown_cost_as_much_as_the_known(house: Any) -> None:
    verified: list[str | None] = []

    class Counting(Passwords):
        async def matches(self, encoded: str | None, password: str) -> bool:
            verified.append(encoded)
            return await super().matches(encoded, password)

    house.app.state.passwords = Counting(PasswordHasher(1, 8, 1))
    await sign_in(house.client(), "nobody", PASSWORD)
    assert verified == [None]


async def test_guessing_is_slowed_down_for_good_and_for_everybody(house: Any, clock: Any) -> None:
    await house.add("anna")
    for _ in range(throttle.ACCOUNT.free):
        assert (await sign_in(house.client(), "anna", "wrong")).status_code == 401
    refused = await sign_in(house.client(), "anna", PASSWORD)
    assert refused.status_code == 429
    assert "SIGN_IN_THROTTLED" not in refused.text
    assert "1 s" in refused.text
    clock.later(seconds=1)
    assert (await sign_in(house.client(), "anna", "wrong")).status_code == 401
    clock.later(seconds=1)
    assert (await sign_in(house.client(), "anna", PASSWORD)).status_code == 429
    clock.later(seconds=1)
    assert (await sign_in(house.client(), "anna", PASSWORD)).status_code == 200
    assert (await sign_in(house.client(), "anna", "wrong")).status_code == 401


async def test_one_address_cannot_try_everybody(house: Any) -> None:
    codes = [
        (await sign_in(house.client(), f"user-{number}", "wrong")).status_code
        for number in range(throttle.ADDRESS.free + 1)
    ]
    assert codes == [401] * throttle.ADDRESS.free + [429]


@given(st.integers(0, 1000), st.sampled_from([throttle.ACCOUNT, throttle.ADDRESS]))
def test_the_wait_grows_and_has_an_end(failures: int, limit: throttle.Limit) -> None:
    assert throttle.wait_s(limit, failures) <= throttle.wait_s(limit, failures + 1)
    assert throttle.wait_s(limit, failures) <= limit.longest_s
    assert (throttle.wait_s(limit, failures) == 0) == (failures < limit.free)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("testclient", "testclient", True),
    ],
)
def test_of_an_ipv6_address_the_network_counts(one: str, other: str, same: bool) -> None:
    first, second = throttle.keys_of("a", one)[1], throttle.keys_of("a", other)[1]
    assert (first == second) == same


async def test_what_is_remembered_of_failures_is_bounded(
    house: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MAX_KEYS", 3)
    for number in range(6):
        clock.later(seconds=1)
        await sign_in(house.client(), f"user-{number}", "wrong")
    async with house.context.database.reading() as session:
        rows = (await session.execute(FailedSignIn.__table__.select())).all()
    assert len(rows) <= throttle.MAX_KEYS + 2


async def test_stronger_parameters_reach_old_passwords(house: Any) -> None:
    await house.add("anna")
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    house.app.state.passwords = Passwords(stronger)
    for _ in range(2):
        assert (await sign_in(house.client(), "anna", PASSWORD)).status_code == 200
    async with house.context.database.reading() as session:
        user = await session.get(User, "anna")
    assert extract_parameters(user.password_hash).time_cost == 2


def test_passwords_are_hashed_as_rfc_9106_recommends() -> None:
    parameters = extract_parameters(PasswordHasher().hash("x"))
    ours = Passwords()._hasher
    assert (ours.time_cost, ours.memory_cost, ours.parallelism) == (3, 65536, 4)
    assert parameters.type == ours.type


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
async def test_a_weak_password_is_refused(house: Any, code_of: Code, password: str) -> None:
    body = {"name": "anna", "role": "viewer", "password": password}
    assert code_of(await house.admin.post("/api/v1/users", json=body)) == "PASSWORD_WEAK"


async def test_a_session_ends_idle_or_old_or_ended(house: Any, clock: Any) -> None:
    await house.add("anna")
    idle = await house.browser("anna")
    clock.later(hours=11)
    assert (await idle.get("/api/v1/me")).status_code == 200
    clock.later(hours=11)
    assert (await idle.get("/api/v1/me")).status_code == 200
    clock.later(hours=12)
    assert (await idle.get("/api/v1/me")).status_code == 401
    busy = await house.browser("anna")
    until = clock() + sessions.ABSOLUTE
    while clock() + timedelta(hours=8) < until:
        clock.later(hours=8)
        assert (await busy.get("/api/v1/me")).status_code == 200
    clock.later(hours=8)
    assert (await busy.get("/api/v1/me")).status_code == 401


async def test_signing_in_again_ends_the_former_session(house: Any) -> None:
    await house.add("anna")
    browser = await house.browser("anna")
    former = house.client()
    former.cookies.update(browser.client.cookies)
    browser.client.cookies.clear()
    entered = await browser.client.post(
        "/sign-in",
        data={"name": "anna", "password": PASSWORD},
        headers={"Cookie": f"lamplighter-8080={browser.secret}"},
    )
    assert entered.status_code == 200
    assert (await browser.get("/api/v1/me")).status_code == 200
    assert (await former.get("/api/v1/me")).status_code == 401


async def test_only_digests_of_sessions_are_stored(house: Any) -> None:
    await house.add("anna")
    browser = await house.browser("anna")
    async with house.context.database.reading() as session:
        rows = (await session.execute(UserSession.__table__.select())).all()
    assert browser.secret not in repr(rows)
    assert browser.csrf not in repr(rows)


@pytest.mark.parametrize("how", ["disable", "password", "everywhere"])
async def test_what_ends_every_session(house: Any, code_of: Code, how: str) -> None:
    await house.add("anna")
    browser, other = await house.browser("anna"), await house.browser("anna")
    if how == "everywhere":
        await browser.post("/account/sign-out-everywhere")
    else:
        body = {"password": "another good password"}
        answer = await house.admin.post(f"/api/v1/users/anna/{how}", json=body)
        assert answer.status_code == 200
    for each in (browser, other):
        assert code_of(await each.get("/api/v1/me")) == "NOT_AUTHORISED"


async def test_a_link_works_once_and_in_time(house: Any, clock: Any) -> None:
    links = [(await house.admin.post("/api/v1/sign-in-links")).json()["url"] for _ in range(2)]
    client = house.client()
    assert "Signed in as admin" in (await client.get(links[0])).text
    assert (await client.get("/api/v1/me")).json()["actor"] == "user:admin"
    assert (await house.client().get(links[0])).status_code == 403
    clock.later(hours=1)
    assert (await house.client().get(links[1])).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X-CSRF-Token": "0" * 64}, 403),
        ({"X-CSRF-Token": "right"}, 201),
        ({"X-CSRF-Token": "right", "Origin": "https://evil.example"}, 403),
        ({"X-CSRF-Token": "right", "Origin": "null"}, 403),
        ({"X-CSRF-Token": "right", "Origin": "http://127.0.0.1:8080"}, 201),
        ({"X-CSRF-Token": "right", "Origin": "http://127.0.0.1:9"}, 403),
        ({"X-CSRF-Token": "right", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"X-CSRF-Token": "right", "Sec-Fetch-Site": "same-site"}, 403),
        ({"X-CSRF-Token": "right", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_another_site_cannot_act_for_a_browser(
    house: Any, headers: dict[str, str], status: int
) -> None:
    await house.add("anna")
    browser = await house.browser("anna")
    if headers.get("X-CSRF-Token") == "right":
        headers = {**headers, "X-CSRF-Token": browser.csrf}
    answer = await browser.client.post("/api/v1/tokens", json={}, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "CSRF_REFUSED"


async def test_another_site_cannot_sign_a_browser_in(house: Any) -> None:
    await house.add("anna")
    answer = await house.client(Origin="https://evil.example").post(
        "/sign-in", data={"name": "anna", "password": PASSWORD}
    )
    assert answer.json()["code"] == "CSRF_REFUSED"


async def test_the_actor_of_a_request(house: Any) -> None:
    await house.add("anna", Role.OPERATOR)
    text = await house.token("anna", role="viewer")
    browser = await house.browser("anna")
    assert (await browser.get("/api/v1/me")).json()["actor"] == "user:anna"
    by_token = (await house.client(text).get("/api/v1/me")).json()
    assert by_token == {
        "actor": f"token:{text.split('_')[1]}",
        "person": "anna",
        "role": "viewer",
        "labels": [],
    }
    assert (await house.admin.get("/api/v1/me")).json()["actor"] == "token:admin"


async def test_the_last_admin_stays(house: Any, code_of: Code) -> None:
    for path, body in (("disable", {}), ("role", {"role": "viewer"})):
        answer = await house.admin.post(f"/api/v1/users/admin/{path}", json=body)
        assert code_of(answer) == "CONFLICT"
    await house.add("limited", Role.ADMIN, site="a")
    assert code_of(await house.admin.post("/api/v1/users/admin/disable")) == "CONFLICT"
    await house.add("dora", Role.ADMIN)
    assert (await house.admin.post("/api/v1/users/admin/disable")).status_code == 200
    assert (await house.admin.get("/api/v1/me")).status_code == 401


async def test_users_are_told_apart_by_name_for_ever(house: Any, code_of: Code) -> None:
    await house.add("anna")
    body = {"name": "anna", "role": "admin", "password": PASSWORD}
    assert code_of(await house.admin.post("/api/v1/users", json=body)) == "CONFLICT"
    body["name"] = "Anna Berg"
    assert code_of(await house.admin.post("/api/v1/users", json=body)) == "NAME_INVALID"
    async with house.context.database.reading() as session:
        assert [user.name for user in await service.ls(session)] == ["admin", "anna"]
    shown = await house.admin.get("/api/v1/users")
    assert "argon2" not in shown.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "\\ud800", "password": "x"}',
        b'{"name": "a\\u0000", "password": "\\ud800"}',
        b'{"name": "a", "password": "x", "labels": {"\\ud800": "b"}}',
        b"[" * 100_000,
        b"\xff",
        b"",
    ],
)
async def test_hostile_texts_are_refused(house: Any, body: bytes) -> None:
    answer = await house.client(**{"Content-Type": "application/json"}).post(
        "/api/v1/sign-in", content=body
    )
    assert answer.status_code in {400, 401, 422}
    form = await house.client(**{"Content-Type": "application/x-www-form-urlencoded"}).post(
        "/sign-in", content=b"name=%ff%00&password=" + body
    )
    assert form.status_code in {400, 401, 422}
    link = await house.client().get("/sign-in/link?key=%ff%00%ed%a0%80")
    assert link.status_code == 403
