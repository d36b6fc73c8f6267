"""All tables of all slices, for migrations to compare with."""

from typing import Final

from sqlalchemy import MetaData

import lamplighter_server.alerts.models
import lamplighter_server.assignments.models
import lamplighter_server.audit.models
import lamplighter_server.blobs.models
import lamplighter_server.claims.models
import lamplighter_server.confidential.models
import lamplighter_server.devices.models
import lamplighter_server.drift.models
import lamplighter_server.history.models
import lamplighter_server.outbox.models
import lamplighter_server.patches.models
import lamplighter_server.people.models
import lamplighter_server.releases.models
import lamplighter_server.rollouts.models
import lamplighter_server.telemetry.models
import lamplighter_server.trust.models  # noqa: F401 - importing a model registers its table
from lamplighter_server.database import Base

METADATA: Final[MetaData] = Base.metadata
