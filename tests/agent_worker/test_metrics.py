import msgspec
from tests.agent_worker.fake_release import FakeRelease
from tests.agent_worker.small_release import Bundle

from lamplighter_agent.ports.servable import Totals
from lamplighter_agent.serve.metrics import render
from lamplighter_protocol.counts import LATENCY_EDGES_S, LATENCY_SLOTS


class Busy(FakeRelease):
    """A release with a past."""

    def totals(self) -> Totals:
        latency = [0] * LATENCY_SLOTS
        latency[0], latency[5], latency[-1] = 2, 3, 1
        return Totals(
            predicted=list(range(10)),
            latency=latency,
            seconds=0.25,
            errors={"INFERENCE_FAILED": 4},
            rss_bytes=2048,
        )


def values(text: str) -> dict[str, float]:
    """Value by name and labels; every line that is no comment is one."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_what_was_done_is_shown(bundle: Bundle) -> None:
    found = values(render(Busy(bundle.manifest)))
    labels = 'model="meter-digits",release="1"'
    assert found[f"lamplighter_requests_total{{{labels}}}"] == 10
    assert found[f'lamplighter_errors_total{{{labels},code="INFERENCE_FAILED"}}'] == 4
    assert found[f'lamplighter_predictions_total{{{labels},label="7"}}'] == 7
    assert found[f"lamplighter_request_seconds_sum{{{labels}}}"] == 0.25
    assert found[f"lamplighter_worker_resident_bytes{{{labels}}}"] == 2048


def test_the_buckets_grow_up_to_the_count(bundle: Bundle) -> None:
    found = values(render(Busy(bundle.manifest)))
    buckets = [value for name, value in found.items() if "_bucket{" in name]
    assert len(buckets) == len(LATENCY_EDGES_S) + 1
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[5], buckets[-2], buckets[-1]) == (2, 5, 5, 6)


def test_a_label_cannot_break_the_text(bundle: Bundle) -> None:
    manifest = bundle.manifest
    labels = ('a"b', "c\nd", "e\\f", *manifest.answer.labels[3:])
    answer = msgspec.structs.replace(manifest.answer, labels=labels)
    text = render(Busy(msgspec.structs.replace(manifest, answer=answer)))
    assert r'label="a\"b"' in text
    assert r'label="c\nd"' in text
    assert r'label="e\\f"' in text
    values(text)
