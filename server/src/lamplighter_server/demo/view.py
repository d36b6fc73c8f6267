"""What a person sees while the story runs: on standard error, live on a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


@dataclass
class Line:
    """One step as it is shown."""

    title: str
    note: str = "waiting"
    state: str = "waiting"
    started_mono: float = 0.0
    seconds: float = 0.0


@dataclass
class View:
    """The list of steps; `note` tells what is happening now."""

    titles: list[str]
    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    def __post_init__(self) -> None:
        self.lines = [Line(title) for title in self.titles]
        self._current: Line | None = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the picture up to date; on anything but a terminal, lines are printed instead."""
        if not self.console.is_terminal:
            yield
            return
        with Live(self, console=self.console, refresh_per_second=8, transient=False):
            yield

    def begin(self, number: int) -> None:
        """Step `number`, counted from 0, starts."""
        self._current = self.lines[number]
        self._current.state, self._current.note = "running", ""
        self._current.started_mono = time.monotonic()
        self._say(f"[{number + 1}/{len(self.lines)}] {self._current.title}")

    def note(self, text: str) -> None:
        """What the current step is doing."""
        if self._current is not None and self._current.note != text:
            self._current.note = text
            self._say(f"      {text}")

    def end(self, *, held: bool, note: str) -> None:
        """The current step is over."""
        if self._current is None:
            return
        self._current.state = "held" if held else "failed"
        self._current.note = note
        self._current.seconds = time.monotonic() - self._current.started_mono
        self._say(f"      {'held' if held else 'FAILED'} ({self._current.seconds:.1f} s): {note}")
        self._current = None

    def _say(self, text: str) -> None:
        if not self.console.is_terminal:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def __rich__(self) -> Group:
        """The picture."""
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", width=7)
        table.add_column(style="dim", ratio=1, no_wrap=True, overflow="ellipsis")
        for number, line in enumerate(self.lines, start=1):
            marks: dict[str, Any] = {
                "waiting": Text("·", style="dim"),
                "running": Spinner("dots", style="yellow"),
                "held": Text("✓", style="bold green"),
                "failed": Text("✗", style="bold red"),
            }
            now = time.monotonic() - line.started_mono
            seconds = {"waiting": "", "running": f"{now:.0f} s"}.get(
                line.state, f"{line.seconds:.1f} s"
            )
            title = Text(f"{number} {line.title}", style="dim" if line.state == "waiting" else "")
            table.add_row(
                marks[line.state], title, seconds, "" if line.state == "waiting" else line.note
            )
        return Group(Text("Lamplighter", style="bold yellow"), table)
