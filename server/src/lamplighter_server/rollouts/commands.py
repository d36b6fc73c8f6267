"""`lamplighter rollout ...`."""

import re
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lamplighter_protocol.assignment import Mode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api, connect
from lamplighter_server.cli.arguments import ReleaseArgument, find_release, read_label
from lamplighter_server.cli.output import JsonOption, print_facts, print_json, print_table
from lamplighter_server.rollouts.states import OPEN, PLANNED

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(no_args_is_help=True, help="Bring a release to the fleet, in waves.")

_PATH: Final = "/api/v1/rollouts"
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WATCH_INTERVAL_S: Final = 0.5
RolloutId = Annotated[str, typer.Argument(help="The rollout's id.")]


Where = Annotated[
    list[str] | None, typer.Option(help="Only devices with this label: --where site=a.")
]
Waves = Annotated[str, typer.Option(help="Devices reached at the end of each wave.")]
Deadline = Annotated[str, typer.Option(help="How long a device has from its wave's opening.")]
MaxFailed = Annotated[
    int | None, typer.Option(help="How many devices of a wave may fail; none by default.")
]
MaxFailedShare = Annotated[int | None, typer.Option(help="Which percentage of a wave may fail.")]
AllowDowngrade = Annotated[
    bool, typer.Option("--allow-downgrade", help="Also where a newer release runs.")
]
RunMode = Annotated[
    Mode, typer.Option(help="'shadow' runs it beside what answers; its answers are only counted.")
]
MaxDisagreed = Annotated[
    int | None, typer.Option(help="In shadow: which percentage of rows may be answered otherwise.")
]
DEFAULT_WAVES: Final = "1,25%,100%"
DEFAULT_DEADLINE: Final = "10m"


@app.command()
def create(
    context: typer.Context,
    release: ReleaseArgument,
    where: Where = None,
    waves: Waves = DEFAULT_WAVES,
    deadline: Deadline = DEFAULT_DEADLINE,
    max_failed: MaxFailed = None,
    max_failed_share: MaxFailedShare = None,
    allow_downgrade: AllowDowngrade = False,
    mode: RunMode = "active",
    max_disagreed_share: MaxDisagreed = None,
    start_now: Annotated[bool, typer.Option("--start", help="Start it at once.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Plan a rollout: a canary first, then wave after wave while no device fails.

    Example: lamplighter rollout create digits@2 --where site=harbour --start
    """
    policy = _policy(where, waves, deadline, max_failed, max_failed_share, allow_downgrade)
    policy |= {"mode": mode, "max_disagreed_share": max_disagreed_share}
    with connect(context) as api:
        model, number = find_release(api, release)
        made = api.post(_PATH, {"model": model, "release": number, "policy": policy})
        if start_now:
            api.post(f"{_PATH}/{made['id']}/start", {})
        _show(api, made["id"], as_json=as_json)


@app.command()
def revise(
    context: typer.Context,
    rollout: RolloutId,
    where: Where = None,
    waves: Waves = DEFAULT_WAVES,
    deadline: Deadline = DEFAULT_DEADLINE,
    max_failed: MaxFailed = None,
    max_failed_share: MaxFailedShare = None,
    allow_downgrade: AllowDowngrade = False,
    mode: RunMode = "active",
    max_disagreed_share: MaxDisagreed = None,
    as_json: JsonOption = False,
) -> None:
    """Plan a rollout anew that has not started; an approval is void.

    Example: lamplighter rollout revise digits-2-a1b2c3 --where site=mill
    """
    policy = _policy(where, waves, deadline, max_failed, max_failed_share, allow_downgrade)
    policy |= {"mode": mode, "max_disagreed_share": max_disagreed_share}
    with connect(context) as api:
        api.put_json(f"{_PATH}/{rollout}/policy", policy)
        _show(api, rollout, as_json=as_json)


def _policy(
    where: list[str] | None,
    waves: str,
    deadline: str,
    max_failed: int | None,
    max_failed_share: int | None,
    allow_downgrade: bool,
) -> dict[str, Any]:
    return {
        "where": dict(read_label(text) for text in where or []),
        "waves": [wave.strip() for wave in waves.split(",")],
        "deadline_s": _read_duration_s(deadline),
        "max_failed_devices": max_failed,
        "max_failed_share": max_failed_share,
        "allow_downgrade": allow_downgrade,
    }


@app.command()
def approve(
    context: typer.Context,
    rollout: RolloutId,
    revision: Annotated[
        int | None, typer.Option(help="The plan that you looked at; without it you are asked.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a plan that somebody else made, so that it may start.

    Example: lamplighter rollout approve digits-2-a1b2c3
    """
    with connect(context) as api:
        if revision is None:
            revision = int(api.get(f"{_PATH}/{rollout}")["revision"])
            _show(api, rollout, as_json=False)
            typer.confirm("Approve this plan?", abort=True, err=True)
        api.post(f"{_PATH}/{rollout}/approve", {"revision": revision})
        _show(api, rollout, as_json=as_json)


@app.command()
def start(context: typer.Context, rollout: RolloutId, as_json: JsonOption = False) -> None:
    """Start a planned rollout, or let a paused one go on.

    Example: lamplighter rollout start digits-2-a1b2c3
    """
    with connect(context) as api:
        api.post(f"{_PATH}/{rollout}/start", {})
        _show(api, rollout, as_json=as_json)


@app.command()
def abort(
    context: typer.Context,
    rollout: RolloutId,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "a person stopped it",
    as_json: JsonOption = False,
) -> None:
    """Stop a rollout for good; its devices get their previous release back.

    Example: lamplighter rollout abort digits-2-a1b2c3 --reason "wrong camera firmware"
    """
    with connect(context) as api:
        api.post(f"{_PATH}/{rollout}/abort", {"reason": reason})
        _show(api, rollout, as_json=as_json)


@app.command()
def status(
    context: typer.Context,
    rollout: Annotated[
        str | None, typer.Argument(help="The rollout's id; the newest one if left out.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a rollout's waves, each device's state, and why.

    Example: lamplighter rollout status --watch
    """
    with connect(context) as api:
        chosen = rollout or _newest(api)
        if watch:
            _watch(api, chosen)
        _show(api, chosen, as_json=as_json)


@app.command()
def ls(context: typer.Context, as_json: JsonOption = False) -> None:
    """List all rollouts, the newest first.

    Example: lamplighter rollout ls --json
    """
    with connect(context) as api:
        rollouts = api.get(_PATH)
    if as_json:
        print_json(rollouts)
        return
    print_table(
        ("Rollout", "Release", "Status", "Created", "Reason"),
        [
            (r["id"], f"{r['model']}@{r['release']}", r["status"], r["created_utc"], r["reason"])
            for r in rollouts
        ],
    )


def _newest(api: Api) -> str:
    rollouts = api.get(_PATH)
    if not rollouts:
        raise LamplighterError("NOT_FOUND", "There is no rollout yet.")
    return str(rollouts[0]["id"])


def _read_duration_s(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a time, as in 90s, 10m, 2h or 1d.")
    return int(match[1]) * _UNIT_S[match[2]]


def _show(api: Api, rollout: str, *, as_json: bool) -> None:
    found = api.get(f"{_PATH}/{rollout}")
    if as_json:
        print_json(found)
        return
    print_facts(
        [
            ("Rollout", found["id"]),
            ("Release", f"{found['model']}@{found['release']}"),
            ("Mode", found["policy"].get("mode", "active")),
            ("Status", found["status"]),
            ("Reason", found["reason"]),
            ("Revision", found["revision"]),
            ("Planned by", ", ".join(found["authors"])),
            ("Approved by", found["approved_by"] or ("nobody yet" * found["needs_approval"])),
            ("Only where", _labels(found["policy"]["where"])),
            ("Started", found["started_utc"]),
            ("Finished", found["finished_utc"]),
        ]
    )
    print_table(
        ("Wave", "Up to", "Devices", "Succeeded", "Failed", "Opened"),
        [
            (w["wave"] + 1, w["size"], w["devices"], w["committed"], w["failed"], w["opened_utc"])
            for w in found["waves"]
        ],
    )
    print_table(("Device", "Wave", "Site", "State", "Phase", "Rollback", "Why"), _rows(found))


def _rows(found: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            place["device"],
            place["wave"] + 1,
            place["site"],
            place["state"],
            place["phase"],
            _milliseconds(place["timings_s"].get("rollback")),
            place["reason"],
        )
        for place in found["devices"]
    ]


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _milliseconds(seconds: float | None) -> str | None:
    return f"{1000 * seconds:.0f} ms" if seconds is not None else None


def _watch(api: Api, rollout: str) -> None:
    """Show the state until it ends, pauses, or the person stops looking."""
    from rich.live import Live

    with Live(refresh_per_second=4, transient=True) as live:
        while True:
            found = api.get(f"{_PATH}/{rollout}")
            live.update(_picture(found))
            if found["status"] not in OPEN - PLANNED - {"paused"}:
                return
            time.sleep(_WATCH_INTERVAL_S)


def _picture(found: dict[str, Any]) -> "RenderableType":
    from rich.console import Group
    from rich.markup import escape
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bars = Table.grid(padding=(0, 2))
    for wave in found["waves"]:
        bars.add_row(
            f"wave {wave['wave'] + 1}",
            ProgressBar(total=max(1, wave["devices"]), completed=wave["committed"], width=30),
            f"{wave['committed']} of {wave['devices']} succeeded, {wave['failed']} failed",
        )
    busy = Table("Device", "State", "Phase", box=None)
    for place in found["devices"]:
        if place["state"] == "assigned":
            busy.add_row(place["device"], place["state"], escape(place["phase"] or "-"))
    head = Text(f"{found['id']}: {found['status']}. {found['reason']}")
    return Group(head, bars, busy)
