"""Collects the original bytes behind what a device runs."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.provenance import Provenance, ReleaseProof
from lamplighter_protocol.reported import Active, Reported
from lamplighter_server.assignments import service as assignments
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.releases import service as releases
from lamplighter_server.trust import service as trust
from lamplighter_server.trust.roles import ROOT, TARGETS

_DIRECTOR_KEYS: Final = "director-keys.json"


async def collect(context: Context, session: AsyncSession, name: str) -> Provenance:
    """Everything that proves what a device runs, in the versions that its report names.

    Nothing is judged here: whoever reads the file does that, with pins of their own.

    Raises:
        LamplighterError: DEVICE_UNKNOWN, REPORT_MISSING if the device has not told of verified
            metadata, or PROVENANCE_INCOMPLETE if it has not answered to its newest assignment or
            its certificate was not kept.
    """
    device = await devices.get(session, name)
    report, envelope = devices.read_report(device), device.report_envelope
    if report is None or envelope is None or report.trust is None:
        raise LamplighterError("REPORT_MISSING", f"{name} has not told what it trusts and runs.")
    assigned = await assignments.newest(session, name)
    if assigned is None or assigned.sha256 != report.assignment_sha256:
        raise LamplighterError(
            "PROVENANCE_INCOMPLETE", f"{name} has not answered to its newest assignment yet."
        )
    if device.certificate_pem is None:
        raise LamplighterError(
            "PROVENANCE_INCOMPLETE", f"The certificate of {name} was issued before they were kept."
        )
    roots = [
        await trust.find_file(session, f"{version}.root.json")
        for version in range(1, report.trust.root_version + 1)
    ]
    roles = await trust.load_roles(session)
    return Provenance(
        device=name,
        fleet=context.settings.fleet,
        roots=tuple(roots),
        targets=await trust.find_file(session, f"{report.trust.targets_version}.targets.json"),
        delegated={role: raw for role, raw in roles.items() if role not in {ROOT, TARGETS}},
        director_keys=await trust.find_file(session, _DIRECTOR_KEYS),
        assignment=assigned.envelope,
        report=envelope,
        certificate_pem=device.certificate_pem,
        device_key_pem=device.public_key_pem,
        ca_pem=context.authority.ca_pem,
        releases=tuple(
            [
                await _proof(context, session, model, active)
                for model, active in sorted(_running(report).items())
            ]
        ),
    )


def _running(report: Reported) -> dict[str, Active]:
    return {item.model: item.active for item in report.models if item.active is not None}


async def _proof(
    context: Context, session: AsyncSession, model: str, active: Active
) -> ReleaseProof:
    release = await releases.get(session, model, active.release)
    return ReleaseProof(
        model=model,
        manifest=context.objects.read(release.manifest_sha256),
        evidence=context.objects.read(release.evidence_sha256),
    )
