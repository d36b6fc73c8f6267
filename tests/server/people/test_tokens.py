from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.people.access import Role
from lamplighter_server.people.guard import bearer_of, check_origin, cookie_of
from lamplighter_server.people.models import ApiToken

Code = Callable[[httpx.Response], str]


async def test_a_token_is_shown_once_and_stored_as_a_digest(house: Any) -> None:
    await house.add("anna", Role.OPERATOR)
    text = await house.token("anna", purpose="reports", role="operator")
    prefix, token, secret = text.split("_", 2)
    assert prefix == "lamp"
    client = house.client(text)
    (listed,) = (await client.get("/api/v1/tokens")).json()
    assert (listed["id"], listed["purpose"]) == (token, "reports")
    assert listed["used_utc"] is not None
    assert secret not in str(listed)
    async with house.context.database.reading() as session:
        row = await session.get(ApiToken, token)
    assert secret not in str(vars(row))


@pytest.mark.parametrize("own", list(Role))
@pytest.mark.parametrize("wanted", list(Role))
async def test_a_token_may_do_no_more_than_its_maker(house: Any, own: Role, wanted: Role) -> None:
    await house.add("anna", own)
    answer = await (await house.browser("anna")).post("/api/v1/tokens", json={"role": wanted})
    assert answer.status_code == (201 if own.includes(wanted) else 403)


async def test_a_token_follows_its_maker_down(house: Any) -> None:
    await house.add("anna", Role.ADMIN)
    client = house.client(await house.token("anna", role="admin", labels={"ring": "canary"}))
    assert (await client.get("/api/v1/me")).json()["role"] == "admin"
    body = {"role": "operator", "labels": {"site": "harbour"}}
    await house.admin.post("/api/v1/users/anna/role", json=body)
    now = (await client.get("/api/v1/me")).json()
    assert (now["role"], now["labels"]) == ("operator", ["ring=canary", "site=harbour"])
    await house.admin.post("/api/v1/users/anna/disable")
    assert (await client.get("/api/v1/me")).status_code == 401


async def test_a_token_makes_no_tokens(house: Any, code_of: Code) -> None:
    await house.add("anna", Role.ADMIN)
    client = house.client(await house.token("anna", role="admin"))
    assert code_of(await client.post("/api/v1/tokens", json={})) == "ROLE_MISSING"
    assert code_of(await client.post("/api/v1/sign-in-links")) == "ROLE_MISSING"


async def test_a_token_ends_in_time_or_at_once(house: Any, clock: Any, code_of: Code) -> None:
    await house.add("anna")
    short, other = await house.token("anna", days=1), await house.token("anna", days=365)
    clock.later(days=1)
    assert (await house.client(short).get("/api/v1/me")).status_code == 401
    assert (await house.client(other).get("/api/v1/me")).status_code == 200
    token = other.split("_")[1]
    assert (await house.admin.post(f"/api/v1/tokens/{token}/revoke")).status_code == 200
    assert code_of(await house.client(other).get("/api/v1/me")) == "NOT_AUTHORISED"
    for days in (0, 366):
        answer = await house.admin.post("/api/v1/tokens", json={"days": days})
        assert answer.status_code == 422


async def test_tokens_of_others_are_nobodys_business(house: Any, code_of: Code) -> None:
    await house.add("anna")
    await house.add("bert", Role.APPROVER)
    text = await house.token("anna")
    token = text.split("_")[1]
    bert = await house.browser("bert")
    assert (await bert.get("/api/v1/tokens")).json() == []
    assert code_of(await bert.post(f"/api/v1/tokens/{token}/revoke")) == "NOT_FOUND"
    assert token in (await house.admin.get("/api/v1/tokens")).text


async def test_the_id_alone_is_worth_nothing(house: Any) -> None:
    await house.add("anna")
    text = await house.token("anna")
    for guess in (text[:-1] + ("A" if text[-1] != "A" else "B"), text[:-1], text + "A", ""):
        assert (await house.client(guess).get("/api/v1/me")).status_code == 401


async def test_the_account_page_makes_and_revokes(house: Any) -> None:
    await house.add("anna", Role.OPERATOR)
    browser = await house.browser("anna")
    form = {"purpose": "<b>reports</b>", "role": "viewer", "days": "30", "csrf": browser.csrf}
    made = (await browser.client.post("/account/tokens", data=form)).text
    text = made.partition("<code>lamp_")[2].partition("</code>")[0]
    assert "&lt;b&gt;reports" in made
    page = (await browser.get("/account")).text
    assert f"lamp_{text}" not in page
    token = text.split("_")[0]
    assert token in page
    await browser.client.post(f"/account/tokens/{token}/revoke", data={"csrf": browser.csrf})
    assert token not in (await browser.get("/account")).text
    without = {key: value for key, value in form.items() if key != "csrf"}
    assert (await browser.client.post("/account/tokens", data=without)).status_code == 403
    form["role"] = "admin"
    assert (await browser.client.post("/account/tokens", data=form)).status_code == 403


@given(st.text())
def test_no_header_breaks_the_guard(text: str) -> None:
    raw = [
        (name, text.encode("utf-8", "replace")) for name in (b"authorization", b"cookie", b"origin")
    ]
    headers = Headers(raw=[*raw, (b"host", b"127.0.0.1")])
    cookie_of(headers, "lamplighter-8080")
    for check in (bearer_of, lambda given: check_origin("POST", given)):
        with suppress(LamplighterError):
            check(headers)
