"""The shipped permissions for EMQX, judged by its documented rules against the same table.

EMQX: the first rule that matches counts; a subscription's filter is matched against the rule's
filters as if it were a topic, so a rule must cover all that the filter would.
"""

import re
from pathlib import Path

import pytest
from tests.server.broker.forbidden import (
    ALLOWED_READS,
    ALLOWED_WRITES,
    DEVICE,
    FORBIDDEN_READS,
    FORBIDDEN_WRITES,
    TOPICS,
)
from typer.testing import CliRunner

from lamplighter_server.broker.emqx import acl_text
from lamplighter_server.cli.app import app
from lamplighter_server.pki.authority import INGEST, RELAY

SHIPPED = Path(__file__).parents[3] / "deploy" / "emqx" / "acl.conf"
RULE = re.compile(
    r'\{(allow|deny), (all|\{username, "([^"]+)"\})(?:, (publish|subscribe), \[([^]]*)\])?\}\.'
)


def covers(pattern: list[str], asked: list[str]) -> bool:
    """Whether a rule's filter covers all that a topic or filter stands for."""
    if pattern == ["#"]:
        return True
    if not pattern or not asked:
        return pattern == asked
    if asked[0] == "#" or (asked[0] == "+" and pattern[0] != "+"):
        return False
    return pattern[0] in {"+", asked[0]} and covers(pattern[1:], asked[1:])


def is_allowed(text: str, user: str, action: str, asked: str) -> bool:
    asked = re.sub(r"^\$share/[^/]+/", "", asked)
    for verdict, who, name, kind, listed in RULE.findall(text):
        if who != "all" and name != user:
            continue
        filters = [item.replace("${username}", user) for item in re.findall(r'"([^"]+)"', listed)]
        hidden = asked.startswith("$")  # wildcards at the start do not reach these
        if not kind or (
            kind == action
            and any(
                covers(item.split("/"), asked.split("/"))
                for item in filters
                if not hidden or item.startswith("$")
            )
        ):
            return bool(verdict == "allow")
    return False


def test_what_is_shipped_is_what_the_protocol_says() -> None:
    assert SHIPPED.read_text() == acl_text(TOPICS)
    printed = CliRunner().invoke(app, ["broker", "emqx", "--fleet", "main"])
    assert printed.stdout == SHIPPED.read_text()
    assert "main2" in CliRunner().invoke(app, ["broker", "emqx", "--fleet", "main2"]).stdout
    assert len(RULE.findall(SHIPPED.read_text())) == 5


@pytest.mark.parametrize("topic", FORBIDDEN_WRITES)
def test_forbidden_topics_are_not_written(topic: str) -> None:
    assert not is_allowed(SHIPPED.read_text(), DEVICE, "publish", topic)


@pytest.mark.parametrize("pattern", FORBIDDEN_READS)
def test_forbidden_filters_are_not_read(pattern: str) -> None:
    assert not is_allowed(SHIPPED.read_text(), DEVICE, "subscribe", pattern)


def test_allowed_ones_are() -> None:
    text = SHIPPED.read_text()
    assert all(is_allowed(text, DEVICE, "publish", topic) for topic in ALLOWED_WRITES)
    assert all(is_allowed(text, DEVICE, "subscribe", pattern) for pattern in ALLOWED_READS)
    for pattern in TOPICS.server_reads():
        assert is_allowed(text, INGEST, "subscribe", pattern)
        assert is_allowed(text, INGEST, "subscribe", f"$share/ingest/{pattern}")
        assert not is_allowed(text, INGEST, "publish", pattern)
        assert not is_allowed(text, RELAY, "subscribe", pattern)
    assert is_allowed(text, RELAY, "publish", TOPICS.device(DEVICE, "desired"))
