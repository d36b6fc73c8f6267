"""status.json: what the agent says of itself to people on the same board."""

import contextlib
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from lamplighter_agent.app.slots import Slot
from lamplighter_agent.app.sockets import ModelSockets
from lamplighter_protocol.assignment import Utc
from lamplighter_protocol.names import Count, Name
from lamplighter_protocol.reported import Failure, ModelReport, TrustState


class Serve(msgspec.Struct, frozen=True, kw_only=True):
    """Where one model answers."""

    url: str
    socket: str | None
    ready: bool
    worker_pid: int | None


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """What may still be fetched."""

    left_bytes: Count
    size_bytes: Count
    resets_utc: Utc


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The agent at one moment."""

    pid: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    device: Name
    fleet: Name
    connected: bool
    connection_problem: str | None
    models: tuple[ModelReport, ...]
    serve: dict[Name, Serve]
    trust: TrustState | None
    budget: BudgetState | None = None
    problem: Failure | None
    waiting: dict[Name, Failure] = {}
    dropped: dict[str, Count] = {}
    """Telemetry ever dropped because the outbox was full, by stream."""
    at_utc: Utc
    running: bool = True


def describe_serving(sockets: ModelSockets, serving: Slot | None) -> Serve:
    """Where a model answers, and whether it does."""
    return Serve(
        url=sockets.url,
        socket=str(sockets.unix_path) if sockets.unix_path else None,
        ready=serving is not None,
        worker_pid=serving.worker.pid if serving and serving.worker else None,
    )


def write_status(path: Path, status: Status) -> None:
    """Replace the file at once; it need not survive a power cut."""
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(msgspec.json.encode(status))
    beside.replace(path)


def read_status(path: Path) -> Status | None:
    """Read the file; `running` is false if the process that wrote it is gone.

    Returns:
        None if there is no readable file.
    """
    try:
        status = msgspec.json.decode(path.read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return msgspec.structs.replace(status, running=_is_alive(status.pid))


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(PermissionError):  # somebody else's process, but it is there
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def summary(status: Status) -> str:
    """The status in a few words, as `systemctl status` shows it."""
    link = "connected" if status.connected else "not connected"
    runs = [f"{item.model} {item.active.release}" for item in status.models if item.active]
    return f"{link}; {', '.join(runs) or 'no model'}"


def describe(status: Status) -> str:
    """The status for people."""
    state = "running" if status.running else "not running"
    link = "connected" if status.connected else f"not connected ({status.connection_problem})"
    lines = [f"{status.device} (fleet {status.fleet}): {state}, pid {status.pid}, {link}"]
    for model in status.models:
        active = model.active
        lines.append(
            f"{model.model}: "
            + (
                f"release {active.release} {active.variant} "
                f"({'committed' if active.committed else 'in probation'})"
                if active
                else "no release runs"
            )
        )
        if serve := status.serve.get(model.model):
            lines.append(f"  serves at {serve.url}" + (f" and {serve.socket}" * bool(serve.socket)))
        if attempt := model.attempt:
            lines.append(f"  update to release {attempt.release}: {attempt.phase}")
            if attempt.failure:
                lines.append(f"  {attempt.failure.code}: {attempt.failure.sentence}")
        if reason := status.waiting.get(model.model):
            lines.append(f"  it waits: {reason.code}: {reason.sentence}")
    lines.append(_describe_trust(status.trust, status.at_utc))
    if budget := status.budget:
        lines.append(_describe_budget(budget))
    if status.problem:
        lines.append(f"last problem: {status.problem.code}: {status.problem.sentence}")
    return "\n".join(lines)


def _describe_budget(budget: BudgetState) -> str:
    left_mb, size_mb = budget.left_bytes / 1e6, budget.size_bytes / 1e6
    until = f"{budget.resets_utc:%Y-%m-%d %H:%M} UTC"
    if not budget.left_bytes:
        return f"budget: {size_mb:g} MB are spent; files of updates are put off until {until}"
    return f"budget: {left_mb:.1f} of {size_mb:g} MB are left until {until}"


def _describe_trust(trust: TrustState | None, at_utc: datetime) -> str:
    """The offline policy in one line: how stale, changes until when; serving never stops."""
    if trust is None or trust.changes_until_utc is None:
        policy = "nothing verified since the start, so nothing is changed"
    else:
        age_h = (at_utc - trust.floor_utc) / timedelta(hours=1)
        may = (
            "changes are allowed until" if at_utc < trust.changes_until_utc else "no changes since"
        )
        until = f"{trust.changes_until_utc:%Y-%m-%d %H:%M} UTC"
        policy = f"newest metadata is {age_h:.0f} h old; {may} {until}"
    return f"trust: {policy}; serving never stops"
