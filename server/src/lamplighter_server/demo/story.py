"""The story in eight steps. Each reads what the parts report and fails where that is not enough."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from lamplighter_protocol.bundle import HealthPolicy
from lamplighter_server.demo.fleet import (
    SignedReport,
    Traffic,
    roll_out,
    signed_reports,
    traffic,
)
from lamplighter_server.demo.stage import (
    HEALTH,
    LIVE_HEALTH,
    MODEL,
    SITES,
    WINDOW_S,
    Stage,
    require,
)
from lamplighter_server.publishing.client import init_keys, publish_release
from lamplighter_server.training.dataset import defocus
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import FLOAT, INT8, build_release
from lamplighter_server.training.run import run_experiment

FLEET: Final = "main"
WAVES: Final = ["1", "50%", "100%"]
DEADLINE_S: Final = 60
BLURRED_SITE: Final = SITES[1]
BLUR_SIGMA_PX: Final = 1.0

Measured = dict[str, Any]


@dataclass
class Story:
    """The eight steps and what they hand on."""

    stage: Stage
    accuracy: dict[int, float] = field(default_factory=dict)

    @property
    def steps(self) -> list[tuple[str, Callable[[], Measured]]]:
        """The steps by title, in order."""
        return [
            ("Server, broker and agents come up, enrol and connect", self.come_up),
            ("A digit reader is trained, quantized, packed and signed", self.publish_first),
            ("Release 1 reaches the fleet in waves", self.roll_out_first),
            ("Each device reads real digits; windows merge", self.read_meters),
            ("Release 2, better tuned, without a dropped request", self.roll_out_second),
            ("Release 3 is bad on the device: back by itself", self.roll_out_bad),
            ("One site's cameras go out of focus", self.blur_one_site),
            ("What was measured", self.look_around),
        ]

    def come_up(self) -> Measured:
        """Step 1."""
        stage = self.stage
        stage.view.note("starting the server and its broker")
        stage.start_server()
        stage.view.note("making the offline keys")
        init_keys(stage.api, stage.keys_dir, stage.passphrase)
        invitations = {}
        for name in stage.names:
            stage.view.note(f"inviting and enrolling {name}")
            reply = stage.api.post(
                "/api/v1/devices/invitations",
                {"device": name, "labels": {"site": stage.site(name)}},
            )
            invitations[name] = reply["invitation"]
            done = stage.enrol(name, invitations[name])
            require(done.returncode == 0, f"{name} could not enrol: {done.stderr.strip()}")
            stage.start_agent(name)
        first = stage.names[0]
        again = stage.enrol(f"{first}-twin", invitations[first])
        require(
            again.returncode == 1 and "INVITATION_USED" in again.stderr,
            f"A second use of a token was not refused: {again.stderr.strip()}",
        )
        stage.view.note("waiting for the first signed reports")
        stage.wait("every device to report", lambda: self._all(lambda report: report.online))
        return {"devices": stage.devices, "second_use_of_token": "INVITATION_USED"}

    def publish_first(self) -> Measured:
        """Step 2."""
        measured = self._publish(1, "baseline", HEALTH)
        require(
            measured["accuracy_float"] - measured["accuracy_int8"] < 0.02,
            "Quantization lost two points or more.",
        )
        return measured

    def roll_out_first(self) -> Measured:
        """Step 3."""
        return self._roll_out_everywhere(1)

    def read_meters(self) -> Measured:
        """Step 4."""
        stage = self.stage
        stage.start_cameras()
        stage.view.note("reading meters for three windows")
        time.sleep(3 * WINDOW_S)
        stage.stop_cameras()
        tally = stage.tally()
        require(tally.failed == 0, f"Requests failed: {tally.failures[:3]}")
        stage.view.note("waiting until every window is stored")
        stage.wait(
            "the windows to add up to what the cameras counted",
            lambda: self._merged_rows(1) == tally.digits,
            timeout_s=30,
        )
        measured = {
            "digits_read": tally.digits,
            "digits_in_merged_windows": self._merged_rows(1),
            "accuracy_on_devices": round(tally.correct / tally.digits, 4),
        }
        stage.start_cameras()
        return measured

    def roll_out_second(self) -> Measured:
        """Step 5."""
        measured = self._publish(2, "tuned", LIVE_HEALTH)
        require(
            self.accuracy[2] > self.accuracy[1],
            "The tuned release is not better than the first.",
        )
        before = self.stage.tally()
        measured |= self._roll_out_everywhere(2)
        during = self.stage.tally().since(before)
        require(during.failed == 0, f"Requests were dropped: {during.failures[:3]}")
        require(during.requests > 0, "No request was made during the rollout.")
        return {**measured, "requests": during.requests, "dropped": during.failed}

    def roll_out_bad(self) -> Measured:
        """Step 6."""
        stage = self.stage
        measured = self._publish(3, "inverted", LIVE_HEALTH)
        before = self.stage.tally()
        rollout = roll_out(stage.api, 3, WAVES, DEADLINE_S)
        stage.view.note("the first wave tries release 3")
        stage.wait(
            "the rollout to abort by itself",
            lambda: self._rollout(rollout)["status"] in {"aborted", "succeeded"},
            timeout_s=90,
        )
        final = self._rollout(rollout)
        require(final["status"] == "aborted", f"A bad release ended as {final['status']}.")
        stage.wait(
            "every device to sign that it runs release 2",
            lambda: self._all(lambda report: report.committed == 2),
        )
        tried = {place["device"] for place in final["devices"] if place["wave"] == 0}
        back = [report for report in self._reports() if report.device in tried]
        failures = [report.model.attempt for report in back]
        rollbacks = [
            attempt.timings_s["rollback"]
            for attempt in failures
            if attempt is not None and attempt.release == 3 and attempt.phase == "rolled-back"
        ]
        require(len(rollbacks) == len(tried) > 0, "The first wave did not sign its rollback.")
        seen = self._phases_of(3)
        require(seen <= tried, f"Release 3 was seen by {sorted(seen - tried)}.")
        during = self.stage.tally().since(before)
        require(during.failed == 0, f"Requests were dropped: {during.failures[:3]}")
        cause = next(a.failure for a in failures if a is not None and a.failure is not None)
        return {
            "accuracy_offline": measured["accuracy_float"],
            "cause": cause.code,
            "tried_by": sorted(tried),
            "rollback_ms": round(1000 * max(rollbacks), 1),
            "requests": during.requests,
            "dropped": during.failed,
        }

    def blur_one_site(self) -> Measured:
        """Step 7."""
        stage = self.stage
        require(not self._drift_alerts(), "A drift alert was open before anything moved.")
        blurred = [name for name in stage.names if stage.site(name) == BLURRED_SITE]
        for name in blurred:
            camera = stage.cameras[name]
            camera.images = defocus(camera.images, camera.image, BLUR_SIGMA_PX)
        since = time.time()
        stage.view.note(f"the lenses of {BLURRED_SITE} are out of focus")
        stage.wait("a drift alert", self._drift_alerts, timeout_s=45)
        seconds = time.time() - since
        stage.view.note("waiting for two more windows: the other sites must stay quiet")
        time.sleep(2 * WINDOW_S)
        alerts = self._drift_alerts()
        sites = {alert["details"]["site"] for alert in alerts}
        require(sites == {BLURRED_SITE}, f"Drift alerts name {sorted(sites)}.")
        details = alerts[0]["details"]
        columns = [column["column"] for column in details["columns"]]
        require("sharpness" in columns, f"The alert names {columns}, not the sharpness.")
        return {
            "site": BLURRED_SITE,
            "columns": columns,
            "since_utc": details["since_utc"],
            "seconds_to_alert": round(seconds, 1),
            "alerts_elsewhere": 0,
            "sentence": alerts[0]["sentence"],
        }

    def look_around(self) -> Measured:
        """Step 8."""
        stage = self.stage
        tally = stage.tally()
        sent = traffic(stage.api)
        reports = self._reports()
        require(
            all(report.committed == 2 for report in reports), "Not every device runs release 2."
        )
        require(tally.failed == 0, f"Requests failed: {tally.failures[:3]}")
        return {
            "requests": tally.requests,
            "failed": tally.failed,
            "accuracy_on_devices": round(tally.correct / tally.digits, 4),
            "server_sent_bytes": sent.server_bytes,
            "broker_sent_bytes": sent.broker_bytes,
            "agent_supervisor_rss_mb": stage.median_rss_mb("supervisor"),
            "agent_worker_rss_mb": stage.median_rss_mb("worker"),
        }

    # What the steps have in common

    def _publish(self, release: int, recipe: str, health: HealthPolicy) -> Measured:
        stage = self.stage
        stage.view.note(f"training the recipe {recipe!r}")
        run = run_experiment(RECIPES[recipe], stage.view.note)
        stage.view.note("converting, quantizing, comparing, packing")
        built = build_release(run, release, health)
        stage.view.note("signing and publishing")
        publish_release(
            stage.api, stage.keys_dir, stage.passphrase, built.bundle, built.evidence_raw
        )
        shown = stage.api.get(f"/api/v1/models/{MODEL}/releases/{release}")
        require(
            shown["manifest_sha256"] == built.bundle.sha256,
            "The server shows another bundle than the one that was signed.",
        )
        variants = built.evidence["variants"]
        agreement = {item["variant"]: item["agreement"] for item in built.evidence["parity"]}
        measured = {
            "cross_validated_accuracy": built.evidence["cross_validation"]["mean_accuracy"],
            "accuracy_float": variants[FLOAT]["accuracy"],
            "accuracy_int8": variants[INT8]["accuracy"],
            "int8_agreement": agreement[INT8],
        }
        self.accuracy[release] = measured["accuracy_float"]
        return {
            **{name: round(value, 4) for name, value in measured.items()},
            "float_bytes": variants[FLOAT]["size_bytes"],
            "int8_bytes": variants[INT8]["size_bytes"],
            "bundle_bytes": built.bundle.size_bytes,
        }

    def _roll_out_everywhere(self, release: int) -> Measured:
        stage = self.stage
        before = traffic(stage.api)
        rollout = roll_out(stage.api, release, WAVES, DEADLINE_S)

        def settled() -> bool:
            state = self._rollout(rollout)
            places = state["devices"]
            done = sum(place["state"] == "committed" for place in places)
            stage.view.note(
                f"{state['status']}: {done} of {len(places)} have signed release {release}"
            )
            return state["status"] in {"succeeded", "aborted"}

        stage.wait(f"the rollout of release {release}", settled, timeout_s=120)
        final = self._rollout(rollout)
        require(final["status"] == "succeeded", f"The rollout {final['status']}: {final['reason']}")
        require(
            self._all(lambda report: report.committed == release),
            f"Not every device has signed that it runs release {release}.",
        )
        sent: Traffic = traffic(stage.api) - before
        return {
            "devices_committed": stage.devices,
            "waves": len({place["wave"] for place in final["devices"]}),
            "server_sent_bytes": sent.server_bytes,
            "broker_sent_bytes": sent.broker_bytes,
        }

    def _reports(self) -> list[SignedReport]:
        return signed_reports(self.stage.api, FLEET)

    def _all(self, holds: Callable[[SignedReport], bool]) -> bool:
        reports = self._reports()
        return len(reports) == self.stage.devices and all(map(holds, reports))

    def _rollout(self, rollout: str) -> Measured:
        state: Measured = self.stage.api.get(f"/api/v1/rollouts/{rollout}")
        return state

    def _phases_of(self, release: int) -> set[str]:
        """The devices that have ever told of a release, by the events that they sealed."""
        events = self.stage.api.get("/api/v1/events", limit=10_000)
        return {event["device"] for event in events if event["body"].get("release") == release}

    def _merged_rows(self, release: int) -> int:
        merged = self.stage.api.get("/api/v1/windows", model=MODEL, release=release)
        return sum(int(place["rows"]) for place in merged)

    def _drift_alerts(self) -> list[Measured]:
        alerts: list[Measured] = self.stage.api.get("/api/v1/alerts")
        return [alert for alert in alerts if alert["kind"] == "drift"]
