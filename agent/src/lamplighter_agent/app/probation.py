"""Watches a release that serves but may still be rolled back."""

import asyncio

from lamplighter_agent.app.services import Services, failure_of
from lamplighter_agent.app.slots import Slot
from lamplighter_agent.core.health import Verdict, verdict
from lamplighter_agent.core.update import Event
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.reported import Failure


class Probation:
    """The clock and the counters of one probation.

    Attributes:
        crashes: How often the worker was lost.
        started_mono: When the release began to serve, by the loop's clock.
    """

    def __init__(self, manifest: Manifest, services: Services) -> None:
        self._manifest = manifest
        self._services = services
        self._loop = asyncio.get_running_loop()
        self.started_mono = self._looked_mono = self._loop.time()
        self._connected_s = 0.0
        self.crashes = 0

    @property
    def is_spent(self) -> bool:
        """Whether the worker was lost more often than the signed policy allows."""
        return self.crashes > self._manifest.health.max_crashes

    async def watch(self, slot: Slot) -> tuple[Event, Failure | None]:
        """Judge again and again until there is a verdict or the worker is lost."""
        assert slot.worker is not None  # noqa: S101 - it serves
        while True:
            try:
                await asyncio.wait_for(
                    slot.worker.exited.wait(), self._services.settings.watch_interval_s
                )
                lost = True
                self.crashes += 1
                slot.serving = False
            except asyncio.TimeoutError:
                lost = False
            found = self._judge(slot)
            if found.decision == "back":
                return "verdict-bad", found.failure
            if lost:
                return "worker-lost", failure_of(slot.worker.loss)
            if found.decision == "go":
                return "probation-ok", None

    def _judge(self, slot: Slot) -> Verdict:
        now_mono = self._loop.time()
        connected = self._services.connected()
        if connected:
            self._connected_s += now_mono - self._looked_mono
        self._looked_mono = now_mono
        heard_mono = slot.worker.heard_mono if slot.worker else self.started_mono
        return verdict(
            self._manifest.health,
            self._manifest.reference,
            slot.beat,
            crashes=self.crashes,
            # A worker that hangs does not get older: it must live through the whole probation.
            elapsed_s=heard_mono - self.started_mono,
            connected_s=self._connected_s,
            connected=connected,
        )
