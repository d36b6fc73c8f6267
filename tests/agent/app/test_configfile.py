import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.app.cli import main
from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.configfile import (
    MAX_CONFIG_BYTES,
    choose_config,
    in_force,
    keys,
    load_settings,
    parse,
)
from lamplighter_agent.core.conditions import DailyWindow
from lamplighter_protocol.errors import LamplighterError

DATA = DataDir(Path("/data"))


def test_nothing_said_means_the_defaults() -> None:
    assert load_settings(DATA, None) == Settings(data=DATA)


def test_an_option_comes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        'serve_port = 9000\nlog_level = "debug"\nmaintenance_windows = ["22:30-01:00"]\n'
        '[[source]]\nkind = "folder"\n[[source]]\nkind = "mqtt"\n'
    )
    settings = load_settings(DATA, config, serve_port=0, log_level=None)
    assert (settings.serve_port, settings.log_level) == (0, "debug")
    assert settings.maintenance_windows == (DailyWindow.parse("22:30-01:00"),)
    assert settings.source == ({"kind": "folder"}, {"kind": "mqtt"})
    assert settings.vitals_interval_s == Settings(data=DATA).vitals_interval_s


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nserve_port = 70000", "line 2: serve_port is 70000 but must be a whole number from 0"),
        ("serve_port = true", "serve_port is True but must be a whole number"),
        ('log_level = "loud"', 'must be one of "debug", "info"'),
        ("vitals_interval_s = nan", "must be a number from 0.1 to 86400"),
        ('vitals_interval_s = "10"', "line 1: vitals_interval_s is '10' but must be a number"),
        ("require_mains_power = 1", "must be true or false"),
        ("not_now_file = 3", "must be a text in quotes"),
        ('maintenance_windows = ["9-10"]', 'such as ["02:00-04:00", "22:30-01:00"]'),
        ('maintenance_windows = "02:00-04:00"', "must be a list of times of day"),
        ("maintenance_windows = [7]", "must be a list of times of day"),
        ("source = 3", "source is 3 but must be tables in double brackets"),
        ("[source]\nkind = 1", "line 1: source is {'kind': 1} but must be tables"),
        ("vitals_interval = 3", "line 1: vitals_interval is no key of the agent (is vitals_"),
        ("data = 3", "data is no key of the agent"),
        ("hang_s = 3", "hang_s is no key of the agent"),
        ("= 3", "(at line 1, column 1)"),
        ("serve_port = 1\nserve_port = 2\n\n", "line 2"),
        ("x = " + "[" * 5000, "nested"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_its_range(
    tmp_path: Path, text: str, told: str
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(text)
    with pytest.raises(LamplighterError) as refused:
        load_settings(DATA, config)
    assert refused.value.code == "CONFIG_INVALID"
    assert told in refused.value.sentence
    assert str(config) in refused.value.sentence


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="line 1: serve_port.*; line 2: stall"):
        parse(b"serve_port = -1\nstall = 4\n")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"#" * (MAX_CONFIG_BYTES + 1)])
def test_a_file_that_is_no_text_or_has_no_end(tmp_path: Path, raw: bytes) -> None:
    config = tmp_path / "agent.toml"
    config.write_bytes(raw)
    with pytest.raises(LamplighterError, match="CONFIG_INVALID"):
        load_settings(DATA, config)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert set(parse(raw)) <= set(keys())


def test_what_is_in_force_can_be_written_back() -> None:
    shown = in_force(Settings(data=DATA))
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in shown.items())
    assert load_settings(DATA, None, **parse(text.encode())) == Settings(data=DATA)


def test_a_file_that_is_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose_config(None) is None
    monkeypatch.setenv("LAMPLIGHTER_AGENT_CONFIG", str(tmp_path / "none.toml"))
    assert main(["config"]) == 1
    assert "none.toml cannot be read: No such file" in capsys.readouterr().err
    config = tmp_path / "agent.toml"
    config.write_text("stall_s = 20")
    assert main(["config", "--json", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["stall_s"] == 20
