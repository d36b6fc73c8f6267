"""Against the people's door: strangers, guests who want more, and careless colleagues."""

import html
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.server.people.conftest import PASSWORD
from tests.server.people.test_secrets_in_logs import Kept
from tests.server.rollouts.test_four_eyes import Door

from lamplighter_protocol.errors import CATALOGUE
from lamplighter_server.people import throttle
from lamplighter_server.people.access import Role

Code = Callable[[httpx.Response], str]
ME = "/api/v1/me"


async def sign_in(house: Any, password: str, name: str = "anna") -> httpx.Response:
    body = {"name": name, "password": password}
    answer: httpx.Response = await house.client().post("/api/v1/sign-in", json=body)
    return answer


async def test_a_stranger(house: Any, code_of: Code) -> None:
    for path in (ME, "/api/v1/devices", "/api/v1/audit", "/api/v1/users", "/api/v1/openapi.json"):
        assert code_of(await house.client().get(path)) == "NOT_AUTHORISED"


async def test_login_guessing(house: Any, code_of: Code) -> None:
    await house.add("anna")
    for _ in range(throttle.ACCOUNT.free):
        assert code_of(await sign_in(house, "wrong")) == "SIGN_IN_FAILED"
    assert code_of(await sign_in(house, PASSWORD)) == "SIGN_IN_THROTTLED"


async def test_guessing_at_everybody(house: Any, code_of: Code) -> None:
    for number in range(throttle.ADDRESS.free):
        assert code_of(await sign_in(house, "wrong", f"user-{number}")) == "SIGN_IN_FAILED"
    assert code_of(await sign_in(house, "wrong", "another")) == "SIGN_IN_THROTTLED"


async def test_asking_who_exists(house: Any) -> None:
    await house.add("anna")
    known, unknown = await sign_in(house, "wrong"), await sign_in(house, "wrong", "nobody")
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
    assert known.json()["code"] == "SIGN_IN_FAILED"


async def test_a_stolen_token(house: Any, clock: Any, code_of: Code) -> None:
    """It does what it was made for, until it is revoked, its maker is disabled, or it expires."""
    await house.add("anna", Role.ADMIN)
    revoked = await house.token("anna", role="viewer")
    late = await house.token("anna", days=1)
    thief = house.client(revoked)
    assert code_of(await thief.get("/api/v1/users")) == "ROLE_MISSING"
    assert code_of(await thief.post("/api/v1/tokens", json={})) == "ROLE_MISSING"
    await house.admin.post(f"/api/v1/tokens/{revoked.split('_')[1]}/revoke")
    assert code_of(await thief.get(ME)) == "NOT_AUTHORISED"
    clock.later(days=1)
    assert code_of(await house.client(late).get(ME)) == "NOT_AUTHORISED"
    last = await house.token("anna")
    await house.admin.post("/api/v1/users/anna/disable")
    assert code_of(await house.client(last).get(ME)) == "NOT_AUTHORISED"


async def test_a_token_of_which_the_database_was_read(house: Any, code_of: Code) -> None:
    from lamplighter_server.people.models import ApiToken

    await house.add("anna")
    text = await house.token("anna")
    async with house.context.database.reading() as session:
        row = await session.get(ApiToken, text.split("_")[1])
    read = [str(value) for value in vars(row).values()]
    assert text.split("_", 2)[2] not in " ".join(read)
    for secret in read:
        forged = f"lamp_{row.id}_{secret}".encode("ascii", "replace").decode()
        assert code_of(await house.client(forged).get(ME)) == "NOT_AUTHORISED"


async def test_a_stolen_session_after_signing_out(house: Any, code_of: Code) -> None:
    await house.add("anna")
    browser, thief = await house.browser("anna"), house.client()
    thief.cookies.update(browser.client.cookies)
    assert (await thief.get(ME)).status_code == 200
    await browser.post("/account/sign-out-everywhere")
    assert code_of(await thief.get(ME)) == "NOT_AUTHORISED"


async def test_csrf(house: Any, code_of: Code) -> None:
    await house.add("anna")
    browser = await house.browser("anna")
    for headers in (
        {},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": browser.csrf, "Origin": "https://evil.example"},
        {"X-CSRF-Token": browser.csrf, "Sec-Fetch-Site": "cross-site"},
    ):
        answer = await browser.client.post("/api/v1/tokens", json={}, headers=headers)
        assert code_of(answer) == "CSRF_REFUSED"


async def test_dns_rebinding(house: Any, code_of: Code) -> None:
    """A page of evil.example that points its name at 127.0.0.1 carries its name along."""
    await house.add("anna")
    browser = await house.browser("anna")
    for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "x@127.0.0.1"):
        answer = await browser.client.get(ME, headers={"Host": host})
        assert code_of(answer) == "HOST_REFUSED"


@pytest.mark.parametrize(
    ("role", "method", "path", "body"),
    [
        (Role.VIEWER, "POST", "/api/v1/devices/invitations", {"device": "cam-1"}),
        (Role.VIEWER, "POST", "/api/v1/rollouts", {"model": "m", "release": 1}),
        (Role.OPERATOR, "POST", "/api/v1/users", {"name": "eve", "role": "admin"}),
        (Role.OPERATOR, "POST", "/api/v1/users/anna/role", {"role": "admin"}),
        (Role.APPROVER, "POST", "/api/v1/users/anna/role", {"role": "admin"}),
        (Role.APPROVER, "POST", "/api/v1/tokens", {"role": "admin"}),
    ],
)
async def test_role_escalation(
    house: Any, code_of: Code, role: Role, method: str, path: str, body: dict[str, Any]
) -> None:
    await house.add("anna", role)
    browser = await house.browser("anna")
    answer = await browser.client.request(
        method, path, json=body, headers={"X-CSRF-Token": browser.csrf}
    )
    assert code_of(answer) == "ROLE_MISSING"
    assert (await browser.get(ME)).json()["role"] == role


async def test_a_limited_person_outside_their_labels(house: Any, code_of: Code) -> None:
    await house.add("anna", Role.ADMIN, site="harbour")
    browser = await house.browser("anna")
    for path, body in (
        ("/api/v1/users", {"name": "eve", "role": "admin"}),
        ("/api/v1/devices/invitations", {"device": "cam-1", "labels": {"site": "mill"}}),
    ):
        assert code_of(await browser.post(path, json=body)) == "SCOPE_MISSING"


async def test_approver_equals_creator(plans: Door, code_of: Code) -> None:
    """Also an admin, and also with another credential of the same person."""
    rollout = await plans.create("cleo", "password")
    for credential in ("password", "single-sign-on", "token", "other-token"):
        answer = await plans.act(("cleo", credential, "approve"), rollout, 1)
        assert code_of(answer) == "APPROVER_IS_CREATOR"


async def test_an_approval_of_a_plan_that_changed(plans: Door, code_of: Code) -> None:
    rollout = await plans.create("anna", "password")
    await plans.act(("anna", "password", "revise"), rollout, 1)
    assert code_of(await plans.act(("bert", "password", "approve"), rollout, 1)) == "CONFLICT"


async def test_a_start_without_approval(plans: Door, code_of: Code) -> None:
    rollout = await plans.create("cleo", "password")
    assert code_of(await plans.act(("cleo", "token", "start"), rollout, 1)) == "APPROVAL_MISSING"


async def test_a_sign_in_link_used_twice(house: Any) -> None:
    url = (await house.admin.post("/api/v1/sign-in-links")).json()["url"]
    assert (await house.client().get(url)).status_code == 200
    again = await house.client().get(url)
    assert again.status_code == 403
    assert CATALOGUE["LINK_INVALID"].remedy in html.unescape(again.text)


async def test_a_secret_in_logs(house: Any, kept: Kept, code_of: Code) -> None:
    """Refusals are told to the log and to the caller, and never what was typed."""
    await house.add("anna")
    assert code_of(await sign_in(house, "a secret that fails")) == "SIGN_IN_FAILED"
    forged = f"lamp_{'0' * 12}_{'s3cret' * 7}x"
    assert code_of(await house.client(forged).get(ME)) == "NOT_AUTHORISED"
    logged = "\n".join(kept.texts)
    assert logged
    assert "a secret that fails" not in logged
    assert "s3cret" not in logged
