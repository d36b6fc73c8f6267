"""The two applications: people and devices never share a port."""

from typing import Final

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse

from lamplighter_server import __version__, console
from lamplighter_server.alerts import endpoints as alerts
from lamplighter_server.audit import endpoints as audit
from lamplighter_server.blobs import door as files
from lamplighter_server.blobs import endpoints as blobs
from lamplighter_server.carried import endpoints as carried
from lamplighter_server.claims import door as asking
from lamplighter_server.claims import endpoints as claims
from lamplighter_server.confidential import endpoints as confidential
from lamplighter_server.context import Context
from lamplighter_server.devices import door as enrolment
from lamplighter_server.devices import endpoints as devices
from lamplighter_server.devices.refusals import Refusals
from lamplighter_server.drift import endpoints as drift
from lamplighter_server.edge import authorise
from lamplighter_server.errors import install
from lamplighter_server.figures import endpoints as figures
from lamplighter_server.headers import SecureHeaders
from lamplighter_server.history import endpoints as history
from lamplighter_server.limits import BodyLimit
from lamplighter_server.people import endpoints as people
from lamplighter_server.people.access import Role, requires
from lamplighter_server.people.credentials import Credentials
from lamplighter_server.people.guard import Guard
from lamplighter_server.people.passwords import Passwords
from lamplighter_server.people.sessions import cookie_name
from lamplighter_server.provenance import endpoints as provenance
from lamplighter_server.releases import endpoints as releases
from lamplighter_server.rollouts import endpoints as rollouts
from lamplighter_server.settings import LOOPBACKS
from lamplighter_server.telemetry import endpoints as telemetry
from lamplighter_server.trust import endpoints as trust

MAX_PEOPLE_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_DEVICE_BODY_BYTES: Final = 64 * 1024
_SLICES: Final = (
    devices,
    claims,
    releases,
    blobs,
    confidential,
    trust,
    rollouts,
    telemetry,
    drift,
    alerts,
    audit,
    figures,
    people,
    carried,
    provenance,
    history,
)


def people_app(context: Context, bootstrap_token: str) -> FastAPI:
    """API and console. Every route declares who may call it; `authorise` runs before each."""
    app = FastAPI(
        title="Lamplighter",
        version=__version__,
        openapi_url=None,
        docs_url=None,  # FastAPI's own page loads its scripts from elsewhere
        redoc_url=None,
        dependencies=[Depends(authorise)],
    )
    app.state.context = context
    app.state.passwords = Passwords()
    install(app)
    for slice_ in _SLICES:
        app.include_router(slice_.router)
    console.mount(app, context)

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    @requires(Role.VIEWER, narrows=True)
    async def get_description() -> JSONResponse:
        return JSONResponse(app.openapi())

    settings = context.settings
    app.add_middleware(BodyLimit, max_bytes=MAX_PEOPLE_BODY_BYTES)
    app.add_middleware(
        Guard,
        credentials=Credentials(context, bootstrap_token),
        hosts=LOOPBACKS | {settings.public_host, settings.console_host},
        cookie=cookie_name(settings),
    )
    app.add_middleware(SecureHeaders, over_tls=settings.over_tls)
    return app


def device_app(context: Context) -> FastAPI:
    """Enrolment, and files for devices; who is refused again and again has to wait."""
    app = FastAPI(
        title="Lamplighter devices",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(enrolment.slow_down)],
    )
    app.state.context = context
    app.state.refusals = Refusals()
    install(app)
    app.include_router(enrolment.router)
    app.include_router(asking.router)
    app.include_router(files.router)
    app.add_middleware(BodyLimit, max_bytes=MAX_DEVICE_BODY_BYTES)
    return app
