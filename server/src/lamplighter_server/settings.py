"""What an operator may set: by option of `lamplighter up`, by `LAMPLIGHTER_*`, or not at all."""

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lamplighter_protocol.names import NAME_PATTERN
from lamplighter_server.people.access import Role

LOOPBACK: Final = "127.0.0.1"
LOOPBACKS: Final = frozenset({LOOPBACK, "localhost", "::1"})
Port = Annotated[int, Field(ge=1, le=65_535)]


class Settings(BaseSettings):
    """One server. Every field is read from the environment as LAMPLIGHTER_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="LAMPLIGHTER_", frozen=True)

    data_dir: Path = Path("~/.lamplighter")
    """Everything the server keeps; back it up as a whole."""
    fleet: Annotated[str, Field(pattern=NAME_PATTERN)] = "main"
    database_url: str = ""
    """An SQLAlchemy URL with an asynchronous driver; empty means SQLite in the data folder."""

    http_port: Port = 8080
    """The people's door: API and console."""
    http_host: str = LOOPBACK
    """The address on which the people's door listens; beyond loopback only with `https`."""
    https: bool = False
    """Whether the people's door speaks TLS."""
    https_certificate: Path | None = None
    """With `https_key`, PEM files of another authority; without them ours certifies the door."""
    https_key: Annotated[Path | None, Field(validate_default=True)] = None
    console_url: Annotated[str, Field(pattern=r"^(https?://[^/]+/?)?$")] = ""
    """The address under which people reach the console, where a proxy stands before it."""
    require_approval: bool = False
    """Whether a rollout starts only after somebody else than its authors has approved it."""

    oidc_issuer: str = ""
    """The single sign-on provider (OpenID Connect); empty means passwords only."""
    oidc_client_id: str = ""
    oidc_client_secret_file: Path | None = None
    oidc_groups_claim: str = "groups"
    """The claim of the id token that lists a person's groups."""
    oidc_roles: dict[str, Role] = {}
    """Group to role, as JSON; the highest counts, and without any there is no access."""

    device_port: Port = 8443
    """The devices' door: enrolment over HTTPS with our own certificate authority."""
    broker_port: Port = 8883
    device_host: str = "127.0.0.1"
    """The address on which the devices' door and the broker listen."""
    public_host: str = "127.0.0.1"
    """The name or address under which devices reach this machine."""

    window_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    """The length of the UTC windows in which devices count."""
    assignment_lifetime_s: Annotated[int, Field(ge=60)] = 90 * 86_400
    """After this an assignment starts no change any more; serving goes on."""
    invitation_lifetime_s: Annotated[int, Field(ge=1)] = 86_400
    certificate_lifetime_s: Annotated[int, Field(ge=86_400)] = 30 * 86_400
    """How long a device's certificate is valid; it is renewed at two thirds of that."""
    drift_interval_s: Annotated[int, Field(ge=1, le=86_400)] = 3600
    """How often the whole fleet is compared with its references."""
    drift_alarms_per_day: Annotated[float, Field(gt=0)] = 1.0
    """How many false drift alarms a day the whole fleet may raise on average."""
    tick_s: Annotated[float, Field(gt=0)] = 1.0
    """How often rollouts, drift and trust are looked at."""

    @field_validator("https_key")
    @classmethod
    def _check_pair(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("https_certificate") is None):
            raise ValueError("goes together with https_certificate")
        return key

    @property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def console_address(self) -> str:
        """Where people reach the console, without a slash at the end."""
        host = LOOPBACK if self.http_host in LOOPBACKS else self.public_host
        scheme = "https" if self.https else "http"
        return self.console_url.rstrip("/") or f"{scheme}://{host}:{self.http_port}"

    @property
    def console_host(self) -> str:
        """The name or address in that."""
        return urlsplit(self.console_address).hostname or LOOPBACK

    @property
    def over_tls(self) -> bool:
        """Whether people's browsers speak TLS, to us or to the proxy before us."""
        return self.console_address.startswith("https://")

    @property
    def resolved_database_url(self) -> str:
        """The database to open."""
        return self.database_url or f"sqlite+aiosqlite:///{self.folder / 'lamplighter.db'}"
