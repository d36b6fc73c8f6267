"""An agent's data directory with a release in it, as the supervisor leaves it."""

from datetime import datetime, timezone
from pathlib import Path

from tests.agent_worker.small_release import VARIANT, Bundle

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.core.state import Installed, ModelState
from lamplighter_agent.store.journal import Journal
from lamplighter_protocol.canonical import sha256


def store(path: Path, bundle: Bundle) -> Installed:
    """Put the files of a release into the store."""
    blobs = DataDir(path).blobs / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for raw in (bundle.manifest_raw, *bundle.files.values()):
        (blobs / sha256(raw)).write_bytes(raw)
    return Installed(
        release=bundle.manifest.release,
        manifest_sha256=sha256(bundle.manifest_raw),
        variant=VARIANT,
        files={name: sha256(raw) for name, raw in bundle.files.items()},
        load_timeout_s=10.0,
        since_utc=datetime.now(timezone.utc),
    )


def install(path: Path, bundle: Bundle) -> Installed:
    """Make a release the active one."""
    installed = store(path, bundle)
    model = bundle.manifest.model
    Journal(DataDir(path).journal).save_model(ModelState(model=model, active=installed))
    return installed
