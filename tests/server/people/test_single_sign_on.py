"""Against a provider on a real port, which tells the truth or does not."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from tests.server.people.oidc_provider import OidcProvider

from lamplighter_protocol.errors import CATALOGUE
from lamplighter_protocol.names import NAME_PATTERN
from lamplighter_server.people.access import Role
from lamplighter_server.people.identity import Identity
from lamplighter_server.people.single_sign_on import name_of, role_of

ANNA = {"sub": "248289761001", "preferred_username": "Anna.Berg", "groups": ["ops", "chess"]}
ROLES = {"ops": Role.OPERATOR, "leads": Role.APPROVER}
PASSWORD = "correct horse battery"


@pytest.fixture
async def provider(clock: Any, free_port: Callable[[], int]) -> AsyncIterator[OidcProvider]:
    port = free_port()
    made = OidcProvider(f"http://127.0.0.1:{port}", "lamp", "a secret", dict(ANNA))
    made.now = int(clock().timestamp())
    server = uvicorn.Server(uvicorn.Config(made.app(), port=port, log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield made
    server.should_exit = True
    await serving


@pytest.fixture
async def house(open_house: Any, provider: OidcProvider, tmp_path: Any) -> Any:
    (tmp_path / "secret").write_text("a secret\n")
    return await open_house(
        oidc_issuer=provider.issuer,
        oidc_client_id="lamp",
        oidc_client_secret_file=tmp_path / "secret",
        oidc_roles=ROLES,
    )


async def go(house: Any, client: httpx.AsyncClient | None = None) -> httpx.Response:
    """Follow a browser to the provider and back."""
    browser = client or house.client()
    asked = await browser.get("/sign-in/provider")
    assert asked.status_code == 303, asked.text
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(asked.headers["location"])).headers["location"]
    answer: httpx.Response = await browser.get(back)
    return answer


async def test_somebody_new_gets_an_account_and_the_role_of_their_group(
    house: Any, provider: OidcProvider
) -> None:
    browser = house.client()
    assert "Continue with single sign-on" in (await browser.get("/sign-in")).text
    entered = await go(house, browser)
    assert "Signed in as anna-berg" in entered.text
    me = (await browser.get("/api/v1/me")).json()
    assert (me["actor"], me["role"]) == ("user:anna-berg", "operator")
    shown = (await house.admin.get("/api/v1/users/anna-berg")).json()
    assert (shown["issuer"], shown["subject"]) == (provider.issuer, ANNA["sub"])
    provider.person["groups"] = ["leads", "ops"]
    await go(house, browser)
    assert (await browser.get("/api/v1/me")).json()["role"] == "approver"


async def test_a_person_stays_the_same_whatever_they_are_called(
    house: Any, provider: OidcProvider
) -> None:
    await go(house)
    provider.person["preferred_username"] = "anna.smith"
    assert "Signed in as anna-berg" in (await go(house)).text


@pytest.mark.parametrize("groups", [[], ["chess"], ["OPS"], None])
async def test_without_a_known_group_there_is_no_access(
    house: Any, provider: OidcProvider, groups: list[str] | None
) -> None:
    provider.person["groups"] = groups
    refused = await go(house)
    assert refused.status_code == 403
    assert "has a role here" in refused.text
    assert "set-cookie" not in refused.headers or "Max-Age=0" in refused.headers["set-cookie"]
    assert len((await house.admin.get("/api/v1/users")).json()) == 1


async def test_a_name_is_never_taken_over(house: Any, provider: OidcProvider) -> None:
    await house.add("anna-berg", Role.ADMIN)
    refused = await go(house)
    assert "lamplighter user identity NAME 248289761001" in refused.text
    said = await house.admin.post("/api/v1/users/anna-berg/identity", json={"subject": ANNA["sub"]})
    assert said.status_code == 200
    assert "Signed in as anna-berg" in (await go(house)).text
    again = await house.admin.post("/api/v1/users/admin/identity", json={"subject": ANNA["sub"]})
    assert again.json()["code"] == "CONFLICT"


async def test_with_single_sign_on_nobody_has_a_second_account(house: Any) -> None:
    await house.add("anna", Role.OPERATOR)
    refused = await house.client().post("/sign-in", data={"name": "anna", "password": PASSWORD})
    assert refused.status_code == 401
    assert (await house.admin.get("/api/v1/me")).status_code == 200
    await house.admin.post("/api/v1/users/anna/identity", json={"subject": ANNA["sub"]})
    by_password = await house.client().post("/sign-in", data={"name": "anna", "password": PASSWORD})
    assert "Signed in as anna" in by_password.text
    assert "Signed in as anna" in (await go(house)).text


async def test_who_is_disabled_stays_out(house: Any) -> None:
    await go(house)
    await house.admin.post("/api/v1/users/anna-berg/disable")
    assert "is disabled" in (await go(house)).text


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["lamp", "another"], "azp": "another"},
        {"sub": None},
        {"sub": 7},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"groups": "ops"},
        {"at_hash": "wrong"},
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    house: Any, provider: OidcProvider, claims: dict[str, Any]
) -> None:
    provider.bend_claims = claims
    refused = await go(house)
    assert refused.status_code == 403
    assert "id token is not valid" in refused.text


async def test_an_expired_token_is_refused(house: Any, provider: OidcProvider, clock: Any) -> None:
    clock.later(minutes=7)
    assert "id token is not valid" in (await go(house)).text


@pytest.mark.parametrize("forgery", ["none", "own key", "shared secret"])
async def test_a_forged_signature_is_refused(
    house: Any, provider: OidcProvider, forgery: str
) -> None:
    if forgery == "none":
        provider.alg = "none"
    elif forgery == "own key":
        provider.signing_key = RSAKey.generate_key(2048, {"kid": "one"})
    else:
        provider.alg = "HS256"
    refused = await go(house)
    assert refused.status_code == CATALOGUE["SIGN_ON_REFUSED"].http_status
    assert "id token is not valid" in refused.text


async def test_an_answer_belongs_to_the_browser_that_asked(
    house: Any, provider: OidcProvider
) -> None:
    mine, theirs = house.client(), house.client()
    asked = await theirs.get("/sign-in/provider")
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(asked.headers["location"])).headers["location"]
    assert (await mine.get(back)).status_code == 403
    await mine.get("/sign-in/provider")
    assert (await mine.get(back)).status_code == 403
    foreign = await theirs.get(f"{back}&iss=https://evil.example")
    assert "another issuer" in foreign.text


async def test_a_code_is_redeemed_once_and_by_its_asker(house: Any, provider: OidcProvider) -> None:
    browser = house.client()
    asked = await browser.get("/sign-in/provider")
    flow = dict(browser.cookies)
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(asked.headers["location"])).headers["location"]
    assert (await browser.get(back)).status_code == 200
    again = house.client()
    again.cookies.update(flow)
    assert (await again.get(back)).status_code == 403
    (seen,) = provider.seen
    assert len({seen["state"], seen["nonce"], seen["code_challenge"]}) == 3


async def test_a_refusal_of_the_provider_is_told(house: Any) -> None:
    browser = house.client()
    asked = await browser.get("/sign-in/provider")
    state = parse_qs(urlsplit(asked.headers["location"]).query)["state"][0]
    refused = await browser.get(f"/sign-in/callback?error=access_denied&state={state}")
    assert (refused.status_code, "has not let you in" in refused.text) == (403, True)


async def test_a_provider_that_is_away_is_told_apart(
    open_house: Any, free_port: Callable[[], int]
) -> None:
    house = await open_house(oidc_issuer=f"http://127.0.0.1:{free_port()}")
    answer = await house.client().get("/sign-in/provider")
    assert (answer.status_code, "does not answer" in answer.text) == (502, True)


async def test_a_secret_that_is_gone_is_told(house: Any, tmp_path: Any) -> None:
    (tmp_path / "secret").unlink()
    answer = await go(house)
    assert (answer.status_code, "secret cannot be read" in answer.text) == (502, True)


async def test_a_provider_without_tls_is_not_asked(open_house: Any) -> None:
    house = await open_house(oidc_issuer="http://id.example")
    answer = await house.client().get("/sign-in/provider")
    assert (answer.status_code, "over HTTPS only" in answer.text) == (403, True)


async def test_a_provider_that_calls_itself_otherwise_is_refused(
    open_house: Any, provider: OidcProvider
) -> None:
    house = await open_house(oidc_issuer=f"{provider.issuer}/")
    assert "another issuer" in (await house.client().get("/sign-in/provider")).text


async def test_without_a_provider_there_is_no_such_page(open_house: Any) -> None:
    house = await open_house()
    assert (await house.client().get("/sign-in/provider")).status_code == 404
    assert "single sign-on" not in (await house.client().get("/sign-in")).text
    answer = await house.admin.post("/api/v1/users/admin/identity", json={"subject": "x"})
    assert answer.json()["code"] == "CONFLICT"


@given(st.text())
def test_a_name_from_outside_fits_or_is_none(name: str) -> None:
    made = name_of(Identity("i", "s", name, frozenset()))
    assert made is None or re.fullmatch(NAME_PATTERN, made)


@given(st.frozensets(st.sampled_from(["a", "b", "c", "d"])))
def test_the_highest_role_counts(groups: frozenset[str]) -> None:
    roles = {"a": Role.VIEWER, "b": Role.ADMIN, "c": Role.OPERATOR}
    found = role_of(groups, roles)
    assert (found is None) == (not groups & roles.keys())
    assert all(found is not None and found.includes(roles[g]) for g in groups & roles.keys())
