"""What every service may need, made once at the start and handed down explicitly."""

from dataclasses import dataclass, field

from lamplighter_protocol.topics import Topics
from lamplighter_server.audit.notes import Notes
from lamplighter_server.blobs.objects import ObjectStore
from lamplighter_server.clock import Clock
from lamplighter_server.database import Database
from lamplighter_server.figures import Figures
from lamplighter_server.pki.authority import Authority
from lamplighter_server.settings import Settings
from lamplighter_server.trust.online import OnlineKeys


@dataclass(frozen=True)
class Context:
    """One running server.

    Attributes:
        settings: What the operator chose.
        database: Opens transactions; `async with context.database.transaction() as session`.
        clock: The present time, aware, in UTC.
        topics: Builds the topics of this fleet.
        objects: The content-addressed store of bundle files.
        authority: Our certificate authority.
        keys: The online keys: snapshot, timestamp, director and audit.
        figures: What has been counted since the start.
        notes: Refusals that the audit log has yet to be told.
    """

    settings: Settings
    database: Database
    clock: Clock
    topics: Topics
    objects: ObjectStore
    authority: Authority
    keys: OnlineKeys
    figures: Figures
    notes: Notes = field(default_factory=Notes)
