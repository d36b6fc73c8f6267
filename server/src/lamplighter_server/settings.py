"""What an operator may set: by option of `lamplighter up`, by `LAMPLIGHTER_*`, or not at all."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lamplighter_protocol.names import NAME_PATTERN

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
    """The people's door: API and console, plain HTTP on loopback."""
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

    @property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def resolved_database_url(self) -> str:
        """The database to open."""
        return self.database_url or f"sqlite+aiosqlite:///{self.folder / 'lamplighter.db'}"
