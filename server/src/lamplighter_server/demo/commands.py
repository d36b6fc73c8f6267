"""`lamplighter demo`: run the story, print what was measured, stay up unless told to exit."""

import json
import logging
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Never

import typer
from rich.markup import escape

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server import __version__

if TYPE_CHECKING:
    from rich.table import Table

    from lamplighter_server.demo.stage import Stage
    from lamplighter_server.demo.story import Story


def demo(
    devices: Annotated[
        int, typer.Option(min=3, max=64, help="How many devices take part, one process each.")
    ] = 8,
    exit_: Annotated[
        bool, typer.Option("--exit", help="End after the story instead of staying up.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was measured as JSON.")
    ] = False,
) -> None:
    """Run the whole loop on this machine: train, sign, roll out, serve, roll back, raise an alert.

    Example: lamplighter demo --exit --json | jq .steps
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # also where a shell has us ignore Ctrl-C
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="lamplighter-demo-"))
    logging.getLogger("httpx").setLevel(logging.WARNING)
    failed = None
    try:
        failed = _play(folder, devices, stay=not exit_, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(1) from None
    finally:
        for part in ("server", "devices", "offline-keys", *([] if failed else ["logs"])):
            shutil.rmtree(folder / part, ignore_errors=True)
        if failed is None:
            folder.rmdir()
    if failed is not None:
        typer.echo(f"{failed}\nWhat each process said is kept in {folder / 'logs'}.", err=True)
        raise typer.Exit(1)


def _interrupt(_number: int, _frame: object) -> Never:
    raise KeyboardInterrupt


def _play(folder: Path, devices: int, *, stay: bool, as_json: bool) -> str | None:
    """Play the story and print it; returns why it did not hold, or None."""
    from rich.console import Console

    from lamplighter_server.demo.processes import Processes
    from lamplighter_server.demo.stage import Stage
    from lamplighter_server.demo.story import Story
    from lamplighter_server.demo.view import View

    logs = folder / "logs"
    logs.mkdir()
    with Processes(logs) as processes:
        stage = Stage(folder, devices, processes, view=View([]))
        story = Story(stage)
        stage.view = View([title for title, _ in story.steps])
        try:
            with stage.view.live():
                results = tell(story)
            report = {"version": __version__, "steps": results, "console": stage.console}
            if as_json:
                typer.echo(json.dumps(report, indent=2))
            else:
                Console().print(_table(results, stage.console))
            failed = next((step for step in results if not step["verified"]), None)
            if failed is not None:
                return f"{failed['name']}: {failed['measured']['reason']}"
            if stay:
                _stay(stage)
            return None
        finally:
            stage.close()


def tell(story: "Story") -> list[dict[str, Any]]:
    """Play the steps in order; after one that does not hold, the rest is not played."""
    from lamplighter_server.demo.stage import StepFailedError

    results: list[dict[str, Any]] = []
    view = story.stage.view
    for number, (title, step) in enumerate(story.steps):
        result: dict[str, Any] = {"name": title, "verified": False, "seconds": 0.0, "measured": {}}
        results.append(result)
        if not all(earlier["verified"] for earlier in results[:-1]):
            result["measured"] = {"reason": "an earlier step did not hold"}
            continue
        view.begin(number)
        started_mono = time.monotonic()
        try:
            result["measured"] = step()
            result["verified"] = True
        except (StepFailedError, LamplighterError) as error:
            result["measured"] = {"reason": str(error)}
        result["seconds"] = round(time.monotonic() - started_mono, 2)
        view.end(held=result["verified"], note=_brief(result["measured"]))
    return results


def _brief(measured: dict[str, Any]) -> str:
    return " · ".join(f"{_words(name)} {_shown(value)}" for name, value in measured.items())


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return str(value)


def _table(results: list[dict[str, Any]], console: str) -> "Table":
    from rich.table import Table

    table = Table(
        title="What was measured",
        title_justify="left",
        caption=f"Console: {console}",
        caption_justify="left",
        show_lines=True,
        expand=True,
    )
    table.add_column("Step", ratio=2)
    table.add_column("Held")
    table.add_column("Seconds", justify="right")
    table.add_column("Measured", ratio=5)
    for number, step in enumerate(results, start=1):
        held = "[green]yes[/]" if step["verified"] else "[bold red]no[/]"
        measured = escape(_brief(step["measured"]))
        table.add_row(f"{number} {step['name']}", held, f"{step['seconds']:.1f}", measured)
    return table


def _stay(stage: "Stage") -> None:
    link = stage.api.post("/api/v1/sign-in-links", {})["url"]
    typer.echo(f"\nOpen the console, once: {link}\nCtrl-C stops everything.", err=True)
    try:
        while not stage.processes.given_up():
            time.sleep(0.5)
    except KeyboardInterrupt:
        typer.echo("Stopping.", err=True)
