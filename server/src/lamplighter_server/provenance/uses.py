"""What was made from a dataset, by the digest in the lineage of releases."""

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.assignments import service as assignments
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.people.access import Scope
from lamplighter_server.releases import service as releases
from lamplighter_server.telemetry import service as telemetry


class DeviceUse(NamedTuple):
    """A device that runs such a release, has answered with it, or is to run it."""

    device: str
    model: str
    release: int


class Uses(NamedTuple):
    """Releases as (model, number), and devices."""

    releases: list[tuple[str, int]]
    devices: list[DeviceUse]


async def find_uses(
    context: Context, session: AsyncSession, dataset_sha256: str, scope: Scope
) -> Uses:
    """Every release whose lineage names the dataset, and the devices inside the scope."""
    made = set()
    for release in await releases.ls(session):
        manifest = await releases.load_manifest(context, session, release.model, release.number)
        if manifest.lineage.dataset_sha256 == dataset_sha256:
            made.add((release.model, release.number))
    using = {
        DeviceUse(item.device, item.model, item.release)
        for item in await assignments.wanted(session)
    }
    for model, number in made:
        ran = await telemetry.find_devices(session, model, number)
        using |= {DeviceUse(device, model, number) for device in ran}
    seen = await devices.ls(session, scope)
    for device in seen:
        report = devices.read_report(device)
        for item in report.models if report else ():
            if item.active is not None:
                using.add(DeviceUse(device.id, item.model, item.active.release))
    inside = {device.id for device in seen}
    found = (use for use in using if use.device in inside and (use.model, use.release) in made)
    return Uses(sorted(made), sorted(found))
