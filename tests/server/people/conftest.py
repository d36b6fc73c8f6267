"""A people's door without sockets, and people who come to it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from lamplighter_server.app import open_context
from lamplighter_server.context import Context
from lamplighter_server.doors import people_app
from lamplighter_server.people import service, sessions
from lamplighter_server.people.access import Role
from lamplighter_server.people.passwords import Passwords
from lamplighter_server.settings import Settings

BOOTSTRAP_TOKEN = "the token of the data folder"
PASSWORD = "correct horse battery"
#: As cheap as argon2 gets: these tests are about everything else.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.now

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class House:
    """One server, its door, and the browsers and programs of people."""

    context: Context
    app: FastAPI
    clock: Clock
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        made = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url=self.context.settings.console_address,
            headers=headers,
        )
        self.clients.append(made)
        return made

    @property
    def admin(self) -> httpx.AsyncClient:
        return self.client(BOOTSTRAP_TOKEN)

    async def add(self, name: str, role: Role = Role.VIEWER, **labels: str) -> None:
        encoded = await self.app.state.passwords.hash(PASSWORD)
        async with self.context.database.transaction() as session:
            await service.add(
                session,
                name,
                role=role,
                labels=labels,
                password_hash=encoded,
                now_utc=self.clock(),
            )

    async def browser(self, name: str) -> "Browser":
        """A browser in which somebody has signed in, as with a password."""
        async with self.context.database.transaction() as session:
            user = await service.get(session, name)
            secret = await sessions.start(session, user, None, self.clock())
        client = self.client()
        client.cookies.set(sessions.cookie_name(self.context.settings), secret)
        return Browser(client, sessions.csrf_of(secret), secret)

    async def token(self, name: str, **body: Any) -> str:
        browser = await self.browser(name)
        answer = await browser.post("/api/v1/tokens", json=body)
        assert answer.status_code == 201, answer.text
        text: str = answer.json()["token"]
        return text


@dataclass
class Browser:
    client: httpx.AsyncClient
    csrf: str
    secret: str

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.post(path, headers={"X-CSRF-Token": self.csrf}, **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def open_house(
    tmp_path: Path, clock: Clock
) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    """Open a server with some settings."""
    async with AsyncExitStack() as stack:

        async def opened(**settings: Any) -> House:
            settings = {"data_dir": tmp_path / "data", **settings}
            context = await stack.enter_async_context(open_context(Settings(**settings), clock))
            app = people_app(context, BOOTSTRAP_TOKEN)
            app.state.passwords = Passwords(CHEAP)
            house = House(context, app, clock)
            stack.push_async_callback(_close, house)
            return house

        yield opened


async def _close(house: House) -> None:
    for client in house.clients:
        await client.aclose()


@pytest.fixture
async def house(open_house: Callable[..., Awaitable[House]]) -> House:
    return await open_house()


@pytest.fixture
def code_of() -> Callable[[httpx.Response], str]:
    """The code of a refusal."""

    def read(answer: httpx.Response) -> str:
        assert answer.is_error
        return str(answer.json()["code"])

    return read
