"""The main flows at the chattiest level: no secret may be in what is logged."""

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import IntegrityError

from lamplighter_protocol.canonical import encode
from lamplighter_server.people.access import Role
from lamplighter_server.people.models import SignInLink
from lamplighter_server.trust.models import TrustFileRow

PASSWORD = "correct horse battery"
WRONG = "wrong horse and no battery"


class Kept(logging.Handler):
    """Everything that the server logs, with its arguments and traces."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        # The clients of these tests log what they send; they are the people, not the server.
        if record.name.split(".")[0] not in {"httpx", "httpcore"}:
            self.texts.append(f"{self.format(record)} {record.args!r}")


@pytest.fixture
def kept() -> Any:
    handler, root = Kept(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


async def test_no_secret_is_logged(house: Any, kept: Kept) -> None:
    async with house.context.database.transaction() as session:
        session.add(TrustFileRow(name="1.root.json", body=encode({}), published=True))
    body = {"name": "anna", "role": Role.OPERATOR, "password": PASSWORD}
    assert (await house.admin.post("/api/v1/users", json=body)).status_code == 201
    browser = house.client()
    for password in (WRONG, PASSWORD):
        await browser.post("/sign-in", data={"name": "anna", "password": password})
    secrets = {PASSWORD, WRONG, "the token of the data folder", *browser.cookies.values()}
    page = (await browser.get("/account")).text
    csrf = page.partition('name="csrf" value="')[2].partition('"')[0]
    form = {"csrf": csrf, "purpose": "x", "role": "viewer"}
    made = (await browser.post("/account/tokens", data=form)).text
    text = made.partition("<code>lamp_")[2].partition("</code>")[0]
    token = text.split("_", 1)[1]
    assert (await house.client(f"lamp_{text}").get("/api/v1/me")).status_code == 200
    await house.client(f"lamp_{text[:-1]}").get("/api/v1/me")
    sign_in = {"name": "anna", "password": PASSWORD}
    another = (await house.client().post("/api/v1/sign-in", json=sign_in)).json()["token"]
    link = (await house.admin.post("/api/v1/sign-in-links")).json()["url"]
    await house.client().get(link)
    invited = await house.admin.post("/api/v1/devices/invitations", json={"device": "cam-1"})
    assert invited.status_code == 201, invited.text
    secrets |= {csrf, token, another.split("_", 2)[2], link.partition("key=")[2]}
    secrets.add(invited.json()["invitation"])
    assert len(secrets) == 9
    assert min(map(len, secrets)) > 12
    logged = "\n".join(kept.texts)
    assert "sqlite" in logged
    assert [secret for secret in secrets if secret in logged] == []


async def test_errors_of_the_database_do_not_tell_what_was_to_be_stored(house: Any) -> None:
    with pytest.raises(IntegrityError) as failed:
        async with house.context.database.transaction() as session:
            session.add(SignInLink(key_sha256="telltale", user="x", expires_utc=house.clock()))
    assert "telltale" not in str(failed.value)


async def test_a_refusal_does_not_repeat_what_was_typed(
    house: Any, code_of: Callable[[httpx.Response], str]
) -> None:
    answer = await house.client().post("/api/v1/sign-in", json={"name": 3, "password": PASSWORD})
    assert code_of(answer) == "MESSAGE_MALFORMED"
    assert PASSWORD not in answer.text
