"""The verdict on a release in probation (design 4): pure, from counts that the worker shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from lamplighter_protocol.bundle import HealthPolicy
from lamplighter_protocol.counts import Counts, latency_quantile_s, total_variation
from lamplighter_protocol.reported import Failure


class Totals(Protocol):
    """What a worker has seen since its start; ports.worker.Beat is one."""

    @property
    def predicted(self) -> Sequence[int]:
        """Rows by predicted label."""

    @property
    def latency(self) -> Sequence[int]:
        """Answered requests by latency slot."""

    @property
    def errors(self) -> Mapping[str, int]:
        """Failed requests by code."""

    @property
    def rss_mb(self) -> float:
        """Resident memory."""


#: How likely a release whose outputs shift by just what is allowed may ever be rolled back.
FALSE_COLLAPSE: Final = 1e-3
#: The mixture's variance; the bound is tightest at about 200 rows.
_MIXTURE: Final = 2.0


@dataclass(frozen=True)
class Verdict:
    """Commit, look again, or go back and why."""

    decision: Literal["go", "wait", "back"]
    failure: Failure | None = None


GO = Verdict("go")
WAIT = Verdict("wait")


def verdict(
    policy: HealthPolicy,
    reference: Counts,
    totals: Totals | None,
    *,
    crashes: int,
    elapsed_s: float,
    connected_s: float,
    connected: bool,
) -> Verdict:
    """Judge a release. Missing data is never "go".

    Args:
        policy: The signed limits.
        reference: The signed counts of the release's reference data.
        totals: What its worker counted, or None before its first sign of life.
        crashes: How often its worker died in this probation.
        elapsed_s: How long it had served when it gave its newest sign of life.
        connected_s: How much of that with a server in reach; only this runs into
            `probation_max_s`, so that an outage of the broker rolls nothing back.
        connected: Whether the server is in reach now; without it a probation goes on.
    """
    if crashes > policy.max_crashes:
        return _back("WORKER_CRASHED", f"The worker died {crashes} times in probation.")
    if totals is not None:
        for check in (_memory, _errors, _latency, _outputs):
            if failure := check(policy, reference, totals):
                return Verdict("back", failure)
        enough = _requests(totals) >= policy.min_requests
        if enough and connected and elapsed_s >= policy.probation_s:
            return GO
    if connected_s > policy.probation_max_s:
        seen = 0 if totals is None else _requests(totals)
        return _back(
            "PROBATION_TIMEOUT",
            f"{seen} of {policy.min_requests} requests came in {connected_s:.0f} s.",
        )
    return WAIT


def shadow_verdict(
    policy: HealthPolicy, reference: Counts, totals: Totals | None, *, elapsed_s: float
) -> Verdict:
    """Judge a release in shadow, by the limits of its probation.

    There is no limit for latency, because it runs at low priority, and none for waiting, because
    it hurts nobody meanwhile.

    Args:
        policy: The signed limits.
        reference: The signed counts of the release's reference data.
        totals: What its worker counted of the copies, or None before its first sign of life.
        elapsed_s: How long it had seen copies when it gave its newest sign of life.
    """
    if totals is None:
        return WAIT
    for check in (_memory, _errors, _outputs):
        if failure := check(policy, reference, totals):
            return Verdict("back", failure)
    over = elapsed_s >= policy.probation_s and _requests(totals) >= policy.min_requests
    return GO if over else WAIT


def _requests(totals: Totals) -> int:
    return sum(totals.latency) + sum(totals.errors.values())


def _back(code: str, sentence: str) -> Verdict:
    return Verdict("back", Failure(code=code, sentence=sentence))


def _memory(policy: HealthPolicy, _: Counts, totals: Totals) -> Failure | None:
    if totals.rss_mb <= policy.memory_budget_mb:
        return None
    return Failure(
        code="MEMORY_OVER_BUDGET",
        sentence=f"The worker holds {totals.rss_mb:.0f} MB; "
        f"{policy.memory_budget_mb:.0f} MB is allowed.",
    )


def _errors(policy: HealthPolicy, _: Counts, totals: Totals) -> Failure | None:
    requests, failed = _requests(totals), sum(totals.errors.values())
    if requests < policy.errors_min_requests or failed <= policy.max_error_share * requests:
        return None
    return Failure(
        code="ERRORS_OVER_BUDGET",
        sentence=f"{failed} of {requests} requests failed: {dict(totals.errors)}.",
    )


def _latency(policy: HealthPolicy, _: Counts, totals: Totals) -> Failure | None:
    if sum(totals.latency) < policy.latency_min_requests:
        return None
    p99_ms = latency_quantile_s(list(totals.latency), 0.99) * 1000
    if p99_ms <= policy.latency_p99_budget_ms:
        return None
    return Failure(
        code="LATENCY_OVER_BUDGET",
        sentence=f"The 99th percentile is {p99_ms:.1f} ms; "
        f"{policy.latency_p99_budget_ms:.1f} ms is allowed.",
    )


def _outputs(policy: HealthPolicy, reference: Counts, totals: Totals) -> Failure | None:
    rows = sum(totals.predicted)
    if len(totals.predicted) != len(reference.predicted):
        return Failure(
            code="OUTPUT_COLLAPSED",
            sentence=f"The worker counts {len(totals.predicted)} labels, "
            f"{len(reference.predicted)} were signed.",
        )
    if rows < policy.output_shift_min_requests:
        return None
    shift = total_variation(list(totals.predicted), reference.predicted)
    if shift - sampling_radius(rows, len(totals.predicted)) <= policy.output_shift_max:
        return None
    return Failure(
        code="OUTPUT_COLLAPSED",
        sentence=f"Predictions on {rows} live rows differ from the reference by {shift:.2f} "
        f"(total variation); {policy.output_shift_max:.2f} is allowed.",
    )


def sampling_radius(rows: int, labels: int) -> float:
    """How far a shift seen in `rows` may lie above the true one by chance, whenever it is judged.

    With probability 1 - FALSE_COLLAPSE the distance (total variation) of the shares of independent
    rows exceeds their true distance by more at no number of rows at all, so a verdict may be
    looked for after each row. For each set of labels the deviation of its share is a martingale of
    variance 1/4 a row (Hoeffding), bounded by a normal mixture (Howard, Ramdas, McAuliffe and
    Sekhon 2021, proposition 5); total variation is the largest of them over all 2^labels sets.

    Args:
        rows: At least 1.
        labels: At least 1.
    """
    variance = rows / 4 + _MIXTURE
    odds = math.log(1 / FALSE_COLLAPSE) + labels * math.log(2)
    return math.sqrt(variance * (2 * odds + math.log(variance / _MIXTURE))) / rows
