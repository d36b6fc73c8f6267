"""The running server: two doors, the broker, relay, ingest and ticks in one loop."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Final

import uvicorn
from fastapi import FastAPI

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics
from lamplighter_server import migrations
from lamplighter_server.assignments import renewal as assignments
from lamplighter_server.audit import service as audit
from lamplighter_server.blobs.objects import ObjectStore
from lamplighter_server.broker.gate import keep_gate
from lamplighter_server.broker.process import ManagedBroker, managed_broker
from lamplighter_server.clock import Clock, utc_now
from lamplighter_server.context import Context
from lamplighter_server.database import Database
from lamplighter_server.doors import device_app, people_app
from lamplighter_server.drift import service as drift
from lamplighter_server.figures import Figures
from lamplighter_server.ingest.listener import Listener
from lamplighter_server.outbox.relay import relay
from lamplighter_server.patches import making as patches
from lamplighter_server.people import service as people
from lamplighter_server.people import sessions
from lamplighter_server.people.access import BOOTSTRAP
from lamplighter_server.people.credentials import load_or_create_token
from lamplighter_server.pki.authority import Authority
from lamplighter_server.pki.shown import ShownCertificate
from lamplighter_server.rollouts import controller as rollouts
from lamplighter_server.settings import LOOPBACKS, Settings
from lamplighter_server.tasks import cancel
from lamplighter_server.trust import renewal
from lamplighter_server.trust.online import OnlineKeys

TICKS: Final[dict[str, Callable[[Context], Awaitable[None]]]] = {
    "rollouts": rollouts.tick,
    "assignments": assignments.tick,
    "drift": drift.tick,
    "trust": renewal.tick,
    "patches": patches.tick,
    "audit": audit.tick,
}
RESTART_DELAY_S: Final = 1.0
STOP_GRACE_S: Final = 2
_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_context(settings: Settings, clock: Clock = utc_now) -> AsyncIterator[Context]:
    """Open the data folder, making what is missing, and bring the database up to date.

    Raises:
        LamplighterError: SCHEMA_NEWER.
    """
    folder = settings.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = Authority.load_or_create(folder / "pki", clock())
    authority.issue_own(settings.public_host, clock())
    database = Database(settings.resolved_database_url, clock)
    try:
        await migrations.upgrade(database.engine)
        async with database.transaction() as session:
            await people.ensure_admin(session, clock())
        yield Context(
            settings=settings,
            database=database,
            clock=clock,
            topics=Topics(settings.fleet),
            objects=ObjectStore(folder / "objects"),
            authority=authority,
            keys=OnlineKeys.load_or_create(folder / "keys-online"),
            figures=Figures(),
        )
    finally:
        await database.close()


async def run_server(
    settings: Settings, on_ready: Callable[[str], None] = lambda _link: None
) -> None:
    """Run until cancelled, then stop everything in order.

    Args:
        settings: What the operator chose.
        on_ready: Called once when both doors and the broker accept connections, with a link that
            signs a browser in.

    Raises:
        LamplighterError: PLAIN_HTTP_REFUSED, PORT_IN_USE, SCHEMA_NEWER, BROKER_MISSING or
            BROKER_FAILED.
    """
    check_people_door(settings)
    async with AsyncExitStack() as stack:
        people_socket = stack.enter_context(_bind(settings.http_host, settings.http_port, "--port"))
        devices = stack.enter_context(
            _bind(settings.device_host, settings.device_port, "--device-port")
        )
        _bind(settings.device_host, settings.broker_port, "--broker-port").close()
        context = await stack.enter_async_context(open_context(settings))
        broker = await stack.enter_async_context(managed_broker(context))
        token = load_or_create_token(settings.folder / "admin.token")
        doors = [
            (_Door(_config(people_app(context, token), **_people_tls(context))), people_socket),
            (_Door(_config(device_app(context), **_device_tls(context))), devices),
        ]
        await stack.enter_async_context(_background(context, broker))
        serving = [asyncio.create_task(door.serve([bound])) for door, bound in doors]
        try:
            for door, _ in doors:
                await door.open.wait()
            async with context.database.transaction() as session:
                link = await sessions.make_link(session, BOOTSTRAP.name, context.clock())
            on_ready(sessions.link_url(settings, link))
            await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for door, _ in doors:
                door.should_exit = True
            await asyncio.gather(*serving)


def check_people_door(settings: Settings) -> None:
    """Passwords and tokens do not travel in the clear.

    Raises:
        LamplighterError: PLAIN_HTTP_REFUSED.
    """
    if settings.http_host not in LOOPBACKS and not settings.https:
        raise LamplighterError(
            "PLAIN_HTTP_REFUSED",
            f"On {settings.http_host} others could read every password and token.",
        )


def _people_tls(context: Context) -> dict[str, object]:
    settings = context.settings
    if not settings.https:
        return {}
    certificate, key = settings.https_certificate, settings.https_key
    if certificate is None or key is None:
        tls = context.authority.server_tls()
        return {"ssl_context_factory": lambda *_: tls}
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def _device_tls(context: Context) -> dict[str, object]:
    tls = context.authority.server_tls(asks=True)
    return {"ssl_context_factory": lambda *_: tls, "http": ShownCertificate}


@asynccontextmanager
async def _background(context: Context, broker: ManagedBroker) -> AsyncIterator[None]:
    """Run relay, ingest, gate and ticks beside the block; a fault in one stops no other."""
    listener = Listener(context)
    tasks = [
        asyncio.create_task(_forever("the relay", lambda: relay(context))),
        asyncio.create_task(_forever("the listener", listener.run)),
        asyncio.create_task(_forever("the gate", lambda: keep_gate(context, broker))),
    ]
    tasks += [asyncio.create_task(_every(context, name)) for name in TICKS]
    try:
        yield
    finally:
        await cancel(tasks)
        await _tick(context, "audit")  # what was refused last


async def _forever(name: str, run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception:  # noqa: BLE001 - logged, and the rest of the server goes on
            _log.exception("A fault in %s; it starts again", name)
        await asyncio.sleep(RESTART_DELAY_S)


async def _every(context: Context, name: str) -> None:
    while True:
        await _tick(context, name)
        await asyncio.sleep(context.settings.tick_s)


async def _tick(context: Context, name: str) -> None:
    try:
        await TICKS[name](context)
    except Exception:  # noqa: BLE001 - logged, and the rest of the server goes on
        _log.exception("A fault in the tick of %s; the next one comes", name)


class _Door(uvicorn.Server):
    """A server whose signals are the business of whoever runs it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.open = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.open.set()

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


def _config(app: FastAPI, **tls: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_GRACE_S,
        **tls,  # type: ignore[arg-type]
    )


def _bind(host: str, port: int, option: str) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise LamplighterError(
            "PORT_IN_USE", f"{host}:{port} ({option}) cannot be opened: {error.strerror}."
        ) from error
