from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from lamplighter_server.validation import card
from lamplighter_server.validation.gates import judge
from lamplighter_server.validation.measure import measure
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.results import Evidence, Override, Validation
from lamplighter_server.validation.spec import read_gates

Make = Callable[..., Predictions]
HOSTILE = "<script>alert(1)</script> | `x` \n# no"


class Page(HTMLParser):
    """What a browser would see: elements, their attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def made(p: Predictions, gates: dict[str, Any], **given: Any) -> Evidence:
    measured = measure(p, seed=1, resamples=50)
    results = judge(read_gates(gates), measured, incumbent=None, size_bytes=None, latency_ms=None)
    return Evidence(
        model="valves",
        release=3,
        validation=Validation(measured=measured, gates=results, override=given.get("override")),
        variants={"onnx-int8": {"size_bytes": 12_345, "accuracy": 0.97, "parity": []}},
    )


@pytest.fixture
def evidence(classified: Make) -> Evidence:
    gates = {"metrics": {"accuracy": {"min": 0.5}}, "max_latency_ms": 3}
    return made(classified(400, classes=3, groups=2), gates)


def test_both_forms_tell_the_same(evidence: Evidence) -> None:
    text, page = card.markdown(evidence), Page(card.html(evidence))
    assert text.startswith("# valves@3\n\n1 of 2 gates have not passed: latency")
    for told in ("valves@3", "half-open", "12,345", "the latency was not measured."):
        assert told in text
        assert told in page.text
    assert page.tags.count("svg") == 1 + 1 + 4
    assert ("class", "verdict") in page.attributes


def test_the_card_is_a_function_of_the_evidence(evidence: Evidence) -> None:
    again = msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence)
    assert card.html(again) == card.html(evidence)
    assert card.markdown(again) == card.markdown(evidence)


def test_the_page_needs_nothing_from_elsewhere(evidence: Evidence) -> None:
    page = card.html(evidence)
    found = Page(page)
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert not {"src", "href", "onload", "style"} & {name for name, _ in found.attributes}
    assert "prefers-color-scheme: dark" in page
    assert ("name", "viewport") in found.attributes


def test_names_are_text_wherever_they_stand(classified: Make) -> None:
    p = classified(300, groups=2)
    sites = p.groups["site"].copy()
    sites[sites == "a"] = HOSTILE
    hostile = Predictions(p.truth, p.answers, ("fine", HOSTILE), {HOSTILE: sites})
    told = made(hostile, {"metrics": {f"recall/{HOSTILE}": {"min": 0.5}}})
    told = msgspec.structs.replace(told, model=HOSTILE)
    assert "script" not in Page(card.html(told)).tags
    text = card.markdown(told)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert not [line for line in text.splitlines() if line.startswith("# no")]
    assert "| recall/\\<script\\>alert(1)\\</script\\> \\|" in text


def test_an_override_is_told_with_its_reason(classified: Make) -> None:
    override = Override(person="anna", reason="the old one is worse", approved_by="bert")
    told = made(classified(100), {"max_latency_ms": 1}, override=override)
    for text in (card.markdown(told), Page(card.html(told)).text):
        assert "anna has decided to publish it nevertheless, bert agreed" in text
        assert "the old one is worse" in text


def test_passed_undeclared_and_unmeasured_are_different(regressed: Make) -> None:
    p = regressed(100, groups=2)
    passed = made(p, {"metrics": {"mae": {"max": 9}}})
    assert "All 1 gates have passed." in card.markdown(passed)
    assert ("class", "verdict passed") in Page(card.html(passed)).attributes
    silent = made(p, {})
    assert "nobody has said what this model must reach" in card.markdown(silent)
    assert ("class", "verdict") in Page(card.html(silent)).attributes
    bare = Evidence(model="valves", release=1)
    assert "Nothing was measured" in card.markdown(bare)
    assert "Nothing was measured" in card.html(bare)


def test_what_is_unknown_is_said(regressed: Make) -> None:
    text = card.markdown(made(regressed(100), {}))
    assert "to unknown |" in text  # the 99th percentile of 100 errors has no upper end
