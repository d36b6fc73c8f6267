"""The configuration file: TOML whose every key is a field of Settings."""

import dataclasses
import difflib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.keys import KEY, Key
from lamplighter_protocol.errors import LamplighterError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG_VARIABLE: Final = "LAMPLIGHTER_AGENT_CONFIG"
DEFAULT_CONFIG: Final = Path("/etc/lamplighter-agent.toml")
MAX_CONFIG_BYTES: Final = 256 * 1024


def keys() -> dict[str, tuple[Key, Any]]:
    """Every key of the file with its default, in the order in which they are declared."""
    return {
        field.name: (field.metadata[KEY], field.default)
        for field in dataclasses.fields(Settings)
        if KEY in field.metadata
    }


def choose_config(option: Path | None) -> Path | None:
    """The option, else the environment, else the default where it is there."""
    named = option or os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def load_settings(data: DataDir, config: Path | None, **options: object) -> Settings:
    """The settings in force: an option first, then the file, then the default.

    Args:
        data: The data directory.
        config: The file, as choose_config says.
        options: Values from the command line by key; None where nothing was said.

    Raises:
        LamplighterError: CONFIG_INVALID with everything that is wrong.
    """
    values = {} if config is None else _read(config)
    said = {name: value for name, value in options.items() if value is not None}
    return Settings(data=data, **{**values, **said})


def in_force(settings: Settings) -> dict[str, Any]:
    """The values of every key, as a file would hold them."""
    values = {name: getattr(settings, name) for name in keys()}
    windows = [str(window) for window in settings.maintenance_windows]
    return {**values, "maintenance_windows": windows}


def _read(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise LamplighterError(
            "CONFIG_INVALID", f"{config} cannot be read: {error.strerror}."
        ) from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise LamplighterError("CONFIG_INVALID", f"{config} has over {MAX_CONFIG_BYTES} bytes.")
    try:
        return parse(raw)
    except ValueError as error:
        raise LamplighterError("CONFIG_INVALID", f"{config}: {error}.") from error


def parse(raw: bytes) -> dict[str, Any]:
    """The values of a file by key.

    Raises:
        ValueError: Everything that is wrong, each with its line and what is permitted.
    """
    try:
        text = raw.decode()
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    values: dict[str, Any] = {}
    wrong = list(_judge(document, text, values))
    if wrong:
        raise ValueError("; ".join(wrong))
    return values


def _judge(document: Mapping[str, Any], text: str, values: dict[str, Any]) -> Iterator[str]:
    """Put what is right into `values` and yield what is wrong."""
    known = keys()
    for name, value in document.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (is {near[0]} meant?)" if near else ""
            yield f"{_place(name, text)} is no key of the agent{hint}"
            continue
        kind = known[name][0].kind
        try:
            values[name] = kind.read(value)
        except ValueError:
            yield f"{_place(name, text)} is {_shown(value)} but must be {kind.allowed}"


def _place(name: str, text: str) -> str:
    """The key with its line, where it can be found."""
    pattern = re.compile(rf"""\s*\[*\s*["']?{re.escape(name)}["']?\s*(=|\.|\])""")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return f"line {number}: {name}"
    return name


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
