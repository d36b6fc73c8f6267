"""Every check in turn. None of them changes anything, and none needs another to succeed."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.configfile import load_settings
from lamplighter_agent.app.doctor import board, server
from lamplighter_agent.app.doctor.findings import (
    Finding,
    fail,
    judge_clock,
    judge_trust,
    ok,
    refused,
    warn,
)
from lamplighter_agent.app.status import Status, read_status
from lamplighter_agent.observe.inventory import take_inventory
from lamplighter_agent.store.identity import Identity, load_identity
from lamplighter_agent.trust.record import OfflinePolicy, read_offline_policy
from lamplighter_protocol.errors import CATALOGUE, LamplighterError


def examine(data: DataDir, config: Path | None) -> Iterator[Finding]:
    """Look at everything; a finding comes as soon as it is known.

    Args:
        data: The data folder, which may be missing or closed to us.
        config: The configuration file, as choose_config says.
    """
    settings = Settings(data=data)
    try:
        settings = load_settings(data, config)
        yield ok("config", f"{config} is in order." if config else "No file; the defaults hold.")
    except LamplighterError as error:
        yield refused("config", error)
    yield from _guarded("memory", lambda: board.check_memory(settings))
    yield from _guarded("heat", board.check_heat)
    yield from _guarded("runtimes", lambda: _check_runtimes(settings))
    yield from _guarded("storage", lambda: board.check_storage(settings))
    yield from _guarded("identity", lambda: _check_enrolled(data))


def _guarded(check: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a check finds; what keeps it from looking is a finding too."""
    try:
        yield from look()
    except LamplighterError as error:
        yield refused(check, error)
    except OSError as error:
        yield fail(
            check,
            f"It cannot be looked at: {error}.",
            "Run this as the agent's user: 'sudo -u lamplighter-agent lamplighter-agent doctor'.",
        )


def _check_runtimes(settings: Settings) -> Iterator[Finding]:
    """Each runtime has to answer with a model of one operator."""
    runtimes = asyncio.run(take_inventory(settings.probe_command)).runtimes
    if runtimes:
        named = ", ".join(f"{name} {version}" for name, version in sorted(runtimes.items()))
        yield ok("runtimes", f"{named}: a small model was run.")
    else:
        yield fail(
            "runtimes",
            "None can run a model here.",
            "Install one: pip install 'lamplighter-agent[onnx]' or 'lamplighter-agent[litert]'.",
        )


def _check_enrolled(data: DataDir) -> Iterator[Finding]:
    """What only an enrolled device has."""
    identity = load_identity(data.identity)
    enrolment = identity.enrolment
    yield ok("identity", f"{enrolment.device} of fleet {enrolment.fleet}.")
    yield from _guarded("secrets", lambda: board.check_secrets(data))
    status = read_status(data.status)
    yield from _check_agent(status)
    clock_utc = datetime.now(timezone.utc)
    try:
        policy = read_offline_policy(data.trust / "store")
        now_utc = max(clock_utc, policy.floor_utc)
        yield judge_trust(policy.floor_utc, policy.changes_until_utc, now_utc)
    except LamplighterError as error:
        policy, now_utc = None, clock_utc
        yield _without_trust(error)
    yield from _guarded("certificate", lambda: server.check_certificate(identity, now_utc))
    yield from _guarded("door", lambda: _check_door(identity, policy, now_utc))
    yield from _guarded("broker", lambda: server.check_broker(identity, status, now_utc))


def _without_trust(error: LamplighterError) -> Finding:
    if error.code != "TRUST_MISSING":
        return refused("trust", error)
    return warn("trust", error.sentence, "Let the board connect once; it goes on by itself.")


def _check_door(
    identity: Identity, policy: OfflinePolicy | None, now_utc: datetime
) -> Iterator[Finding]:
    findings, door_utc = server.ask_door(identity, now_utc)
    yield from findings
    floor_utc = policy.floor_utc if policy else None
    yield judge_clock(datetime.now(timezone.utc), floor_utc, door_utc)


def _check_agent(status: Status | None) -> Iterator[Finding]:
    """What the agent says of itself."""
    start = "Start it: 'systemctl start lamplighter-agent'; 'journalctl -u lamplighter-agent'."
    if status is None:
        yield warn("agent", "It has never run here.", start)
        return
    if not status.running:
        yield warn("agent", "It does not run.", start)
        return
    yield ok("agent", f"It runs, pid {status.pid}.")
    if lost := sum(status.dropped.values()):
        yield warn(
            "outbox",
            f"{lost} messages were dropped, as the server did not take them in time.",
            "Look at 'broker' here; raise 'outbox_max_mb' for boards that are offline for long.",
        )
    if (problem := status.problem) is not None:
        known = CATALOGUE.get(problem.code)
        told = f"Its last problem: {problem.code}: {problem.sentence}"
        yield warn("agent", told, known.remedy if known else "See docs/reference/errors.md.")
