"""`lamplighter keys rotate|renew|delegate|undelegate|policy`: steps that a person proposes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lamplighter_protocol.names import check_name
from lamplighter_server.cli.api import connect
from lamplighter_server.publishing.options import DEFAULT_KEYS_DIR, Asker, KeysDir, carry_out

if TYPE_CHECKING:
    from lamplighter_server.trust.online import OnlineRole

OFFLINE: Final = ("root", "targets")
ONLINE: Final[tuple["OnlineRole", ...]] = ("snapshot", "timestamp")
DIRECTOR: Final = "director"

Model = Annotated[str, typer.Argument(help="The model's name.")]


def rotate(
    context: typer.Context,
    roles: Annotated[
        list[str], typer.Argument(help="root, targets, snapshot, timestamp, director.")
    ],
    keys_dir: KeysDir = DEFAULT_KEYS_DIR,
    add: Annotated[
        list[str] | None, typer.Option(help="A public key file or a URI that joins the role.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="The id of a key that leaves it.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(min=1, help="How many must sign from now on.")
    ] = None,
) -> None:
    """Replace keys, all named roles in one step; the former keys are worth nothing afterwards.

    Without --add, --remove and --threshold the root or targets keys that lie here are replaced.

    Example: lamplighter keys rotate snapshot timestamp director
    """
    from lamplighter_server.publishing import client, exchange, steps
    from lamplighter_server.publishing.holder import Holder

    offline = [role for role in OFFLINE if role in roles]
    if unknown := sorted(set(roles) - {*OFFLINE, *ONLINE, DIRECTOR}):
        raise typer.BadParameter(f"{unknown[0]!r} is no role.")
    turnover = steps.Turnover(tuple(add or ()), tuple(remove or ()), threshold)
    if turnover != steps.Turnover() and len(offline) != 1:
        raise typer.BadParameter("--add, --remove and --threshold go with either root or targets.")
    holder, secrets = Holder(keys_dir.expanduser()), Asker()
    with connect(context) as api:
        case = client.begin(api, holder)
        proposal = steps.rotate(
            holder,
            case,
            offline=offline,
            turnover=turnover,
            online={role: exchange.request_next_key(api, role) for role in ONLINE if role in roles},
            director=(
                exchange.request_next_director(api, exchange.read_director(case))
                if DIRECTOR in roles
                else None
            ),
            secrets=secrets,
        )
        carry_out(api, holder, proposal, secrets)


def renew(
    context: typer.Context,
    roles: Annotated[
        list[str] | None, typer.Argument(help="root, targets, model-NAME; root and targets.")
    ] = None,
    keys_dir: KeysDir = DEFAULT_KEYS_DIR,
) -> None:
    """Sign offline roles again, unchanged, so that they are valid for another year.

    Example: lamplighter keys renew root targets
    """
    from lamplighter_server.publishing import client, steps
    from lamplighter_server.publishing.holder import Holder

    holder = Holder(keys_dir.expanduser())
    with connect(context) as api:
        case = client.begin(api, holder)
        carry_out(api, holder, steps.renew(holder, case, roles or OFFLINE))


def delegate(
    context: typer.Context,
    model: Model,
    key: Annotated[list[str], typer.Option(help="A public key file of the team; can be repeated.")],
    threshold: Annotated[int, typer.Option(min=1, help="How many of them must sign.")] = 1,
    keys_dir: KeysDir = DEFAULT_KEYS_DIR,
) -> None:
    """Let a team publish one model, and nothing else, with its own keys.

    The team signs the first metadata of its role in the same case.

    Example: lamplighter keys delegate meter-digits --key team.pub
    """
    from lamplighter_server.publishing import client, steps
    from lamplighter_server.publishing.holder import Holder
    from lamplighter_server.publishing.keys import read_public
    from lamplighter_server.trust.roles import delegated_role

    check_name(model, "model")
    holder, keys = Holder(keys_dir.expanduser()), [read_public(Path(name)) for name in key]
    with connect(context) as api:
        case = client.begin(api, holder, delegated_role(model))
        carry_out(api, holder, steps.delegate(holder, case, model, keys, threshold))


def undelegate(context: typer.Context, model: Model, keys_dir: KeysDir = DEFAULT_KEYS_DIR) -> None:
    """Take a model back from its team; releases that only the team has signed are refused.

    Example: lamplighter keys undelegate meter-digits
    """
    from lamplighter_server.publishing import client, steps
    from lamplighter_server.publishing.holder import Holder

    holder = Holder(keys_dir.expanduser())
    with connect(context) as api:
        carry_out(api, holder, steps.undelegate(holder, client.begin(api, holder), model))


def policy(
    context: typer.Context,
    model: Model,
    minimum_release: Annotated[
        int, typer.Option(min=1, help="Releases below it may not be started any more.")
    ] = 1,
    machine: Annotated[
        list[str] | None, typer.Option(help="A processor that may run it; all by default.")
    ] = None,
    keys_dir: KeysDir = DEFAULT_KEYS_DIR,
) -> None:
    """Say with offline keys which releases of a model may run, and on which processors.

    Example: lamplighter keys policy meter-digits --minimum-release 3 --machine aarch64
    """
    from lamplighter_protocol.trust import ModelPolicy
    from lamplighter_server.publishing import client, steps
    from lamplighter_server.publishing.holder import Holder

    check_name(model, "model")
    said = ModelPolicy(
        model=model, minimum_release=minimum_release, machines=tuple(sorted(set(machine or ())))
    )
    holder = Holder(keys_dir.expanduser())
    with connect(context) as api:
        carry_out(api, holder, steps.restrict(holder, client.begin(api, holder), said))
