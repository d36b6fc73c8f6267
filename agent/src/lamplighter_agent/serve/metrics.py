"""What a worker has done, as text for Prometheus. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats. The counts are those that go to the
server, so nothing is counted twice and a request pays nothing for it.
"""

from itertools import accumulate

from lamplighter_agent.ports.servable import Servable, Totals
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.counts import LATENCY_EDGES_S


def render(servable: Servable) -> str:
    """Every metric of a release since its worker started."""
    totals, manifest = servable.totals(), servable.manifest
    labels = f'model="{manifest.model}",release="{manifest.release}"'
    answered = sum(totals.latency)
    lines = [
        *_metric("model_info", "gauge", "The release that is loaded."),
        f'lamplighter_model_info{{{labels},variant="{servable.variant.name}"}} 1',
        *_metric("model_ready", "gauge", "Whether it answers requests."),
        f"lamplighter_model_ready{{{labels}}} 1",
        *_metric("requests_total", "counter", "Requests answered or failed by the model."),
        f"lamplighter_requests_total{{{labels}}} {answered + sum(totals.errors.values())}",
        *_metric("errors_total", "counter", "Requests that the model failed, by code."),
        *(
            f'lamplighter_errors_total{{{labels},code="{code}"}} {count}'
            for code, count in sorted(totals.errors.items())
        ),
        *_metric("predictions_total", "counter", "Rows by the answered label."),
        *_predictions(manifest, totals, labels),
        *_metric("request_seconds", "histogram", "From the first byte of a request to its answer."),
        *_histogram(totals, labels),
        *_metric("worker_resident_bytes", "gauge", "Memory of the worker's process."),
        f"lamplighter_worker_resident_bytes{{{labels}}} {totals.rss_bytes}",
    ]
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP lamplighter_{name} {about}", f"# TYPE lamplighter_{name} {kind}"


def _predictions(manifest: Manifest, totals: Totals, labels: str) -> list[str]:
    return [
        f'lamplighter_predictions_total{{{labels},label="{_escaped(label)}"}} {count}'
        for label, count in zip(manifest.answer.labels, totals.predicted, strict=True)
    ]


def _histogram(totals: Totals, labels: str) -> list[str]:
    *below, answered = accumulate(totals.latency)
    bounds = [f"{edge:.6g}" for edge in LATENCY_EDGES_S]
    name = "lamplighter_request_seconds"
    return [
        *(
            f'{name}_bucket{{{labels},le="{bound}"}} {count}'
            for bound, count in zip([*bounds, "+Inf"], [*below, answered], strict=True)
        ),
        f"{name}_sum{{{labels}}} {totals.seconds:.6f}",
        f"{name}_count{{{labels}}} {answered}",
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
