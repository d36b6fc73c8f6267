"""`lamplighter keys export|sign|import`: the ceremony on a machine without a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import connect
from lamplighter_server.publishing.options import DEFAULT_KEYS_DIR, Asker, KeysDir, show

if TYPE_CHECKING:
    from lamplighter_server.publishing.case import Case
    from lamplighter_server.publishing.holder import Holder

CaseFile = Annotated[Path, typer.Argument(help="The case, one file to carry.")]


def export(file: CaseFile, keys_dir: KeysDir = DEFAULT_KEYS_DIR) -> None:
    """Write what is proposed and waits for signatures to a file, with all that is needed to judge.

    Example: lamplighter keys export /media/stick/release-4.case
    """
    from lamplighter_server.publishing.case import write_case
    from lamplighter_server.publishing.holder import Holder

    case = _pending(Holder(keys_dir.expanduser()))
    write_case(file, case)
    typer.echo(f"{file}: {', '.join(sorted(case.proposed))}. Next, where the keys lie: keys sign.")


def sign(file: CaseFile, keys_dir: KeysDir = DEFAULT_KEYS_DIR) -> None:
    """Verify a case against what you have signed yourself, show every change, and sign it.

    No network is used, and nothing that the file says is believed.

    Example: lamplighter keys sign /media/stick/release-4.case
    """
    from lamplighter_server.publishing.case import read_case, write_case
    from lamplighter_server.publishing.holder import Holder

    holder = Holder(keys_dir.expanduser())
    proposal = holder.look_at(read_case(file))
    mine = holder.ring.keyids
    if not any(mine & keyids for keyids in proposal.verdict.signers.values()):
        raise LamplighterError("KEY_MISSING", "No key that may sign this case lies here.")
    show(proposal)
    signed = holder.sign(proposal, Asker())
    write_case(file, signed)
    _say_missing(holder, signed)


def import_(context: typer.Context, file: CaseFile, keys_dir: KeysDir = DEFAULT_KEYS_DIR) -> None:
    """Take the signatures of a case, and publish it when none is missing.

    Example: lamplighter keys import /media/stick/release-4.case
    """
    from lamplighter_server.publishing.case import read_case
    from lamplighter_server.publishing.client import send
    from lamplighter_server.publishing.exchange import fetch
    from lamplighter_server.publishing.holder import Holder

    holder, case = Holder(keys_dir.expanduser()), read_case(file)
    with connect(context) as api:
        holder.state.reconcile(fetch(api).current)
        pending = holder.state.pending
        proposal = holder.look_at(pending.with_signatures_of(case) if pending else case)
        show(proposal)
        holder.state.keep(proposal.case)
        send(api, holder, proposal)
    typer.echo("Complete, and in force.")


def drop(keys_dir: KeysDir = DEFAULT_KEYS_DIR) -> None:
    """Give up what is proposed and waits for signatures; what is in force stays.

    Example: lamplighter keys drop
    """
    from lamplighter_server.publishing.holder import Holder

    holder = Holder(keys_dir.expanduser())
    _pending(holder)
    holder.state.drop()
    typer.echo("Dropped.")


def _pending(holder: "Holder") -> "Case":
    case = holder.state.pending
    if case is None:
        raise LamplighterError("NOT_FOUND", "Nothing is proposed that waits for signatures.")
    return case


def _say_missing(holder: "Holder", case: "Case") -> None:
    lacking = holder.look_at(case).verdict.missing
    for item in lacking:
        typer.echo(f"still missing: {item}")
    if not lacking:
        typer.echo("Complete. Next, on the networked machine: keys import.")
