"""Make the reference pages that follow from the code; `--check` refuses pages that are behind."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

# Plain help texts, of one width on every machine; read when typer is imported.
os.environ.update(COLUMNS="96", NO_COLOR="1", TERM="dumb", TYPER_USE_RICH="0")

import msgspec
import typer

from lamplighter_agent.app.cli import make_parser
from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.configfile import CONFIG_VARIABLE, DEFAULT_CONFIG, in_force, keys
from lamplighter_agent.core import update
from lamplighter_protocol.errors import CATALOGUE
from lamplighter_server.cli.app import app

REFERENCE = Path(__file__).parent.parent / "docs/reference"
MADE = "<!-- Made by tools/reference.py; `make docs` refuses it when it is behind the code. -->\n"


def errors_page() -> str:
    """The catalogue of errors."""
    helps = {True: "yes", False: "no"}
    rows = [
        f"| `{code}` | {entry.http_status} | {helps[entry.retryable]} | {entry.remedy} |"
        for code, entry in sorted(CATALOGUE.items())
    ]
    head = (
        f"{MADE}# Errors\n\nEvery expected error prints as `CODE: sentence. What to do.`\n\n"
        "Codes are stable.\n\n| Code | HTTP | Retry helps | What to do |\n"
        "| --- | --- | --- | --- |\n"
    )
    return head + "\n".join(rows) + "\n"


def states_page() -> str:
    """The update's table of transitions as a picture and a table."""
    merged: dict[tuple[str, str], list[str]] = {}
    for (old, event), outcome in update.TRANSITIONS.items():
        if old != outcome.state:
            merged.setdefault((old, outcome.state), []).append(event)
    picture = "\n".join(
        f"  {old.replace('-', '_')} --> {new.replace('-', '_')}: {', '.join(events)}"
        for (old, new), events in merged.items()
    )
    rows = "\n".join(
        f"| {old} | {event} | {outcome.state} | {', '.join(outcome.effects)} |"
        for (old, event), outcome in update.TRANSITIONS.items()
    )
    return (
        f"{MADE}# States of an update\n\nDrawn from the table in `lamplighter_agent.core.update`."
        f"\n\n```mermaid\nstateDiagram-v2\n{picture}\n```\n\n"
        f"| State | Event | Next state | Effects |\n| --- | --- | --- | --- |\n{rows}\n"
    )


def _help(command: Any, path: str) -> str:  # noqa: ANN401 - typer brings its own click
    context = command.make_context(path, [], resilient_parsing=True)
    text: str = command.get_help(context)
    return text.rstrip()


def commands_page() -> str:
    """The help texts of both programs."""
    parts = [f"{MADE}# Commands\n\nExit status: 0 done, 1 refused or failed, 2 usage.\n"]

    def walk(command: Any, path: str, level: int) -> None:  # noqa: ANN401
        parts.append(f"{'#' * level} `{path}`\n\n```text\n{_help(command, path)}\n```\n")
        for name, child in sorted(getattr(command, "commands", {}).items()):
            walk(child, f"{path} {name}", level + 1)

    walk(typer.main.get_command(app), "lamplighter", 2)

    def walk_agent(parser: argparse.ArgumentParser, path: str, level: int) -> None:
        parts.append(f"{'#' * level} `{path}`\n\n```text\n{parser.format_help().rstrip()}\n```\n")
        for action in parser._actions:  # noqa: SLF001 - argparse offers no other way to list them
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                for name, child in action.choices.items():
                    walk_agent(child, f"{path} {name}", level + 1)

    walk_agent(make_parser(), "lamplighter-agent", 2)
    return "\n".join(parts)


def configuration_page() -> str:
    """Every key of the agent's configuration file."""
    defaults = in_force(Settings(data=DataDir(Path())))
    rows = [
        f"| `{name}` | `{msgspec.json.encode(defaults[name]).decode()}` "
        f"| {declared.kind.allowed} | {declared.meaning} |"
        for name, (declared, _) in keys().items()
    ]
    head = (
        f"{MADE}# The agent's configuration\n\nA TOML file: `--config FILE`, else "
        f"`${CONFIG_VARIABLE}`, else `{DEFAULT_CONFIG}` if it is there. Options of the command "
        "line come first. Every key is optional and carries its unit in its name; one that is "
        "unknown, of another type or out of range is refused with `CONFIG_INVALID`. "
        "`lamplighter-agent config` tries the file and shows what is in force.\n\n"
        "| Key | Default | Allowed | Meaning |\n| --- | --- | --- | --- |\n"
    )
    return head + "\n".join(rows) + "\n"


def main() -> int:
    """Write or check every page."""
    pages = {
        "errors.md": errors_page(),
        "update-states.md": states_page(),
        "commands.md": commands_page(),
        "configuration.md": configuration_page(),
    }
    behind = [
        name
        for name, text in pages.items()
        if not (REFERENCE / name).exists() or (REFERENCE / name).read_text() != text
    ]
    if "--check" in sys.argv:
        for name in behind:
            print(f"docs/reference/{name} is behind the code: run python tools/reference.py")
        return bool(behind)
    for name in behind:
        (REFERENCE / name).write_text(pages[name])
        print(f"docs/reference/{name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
