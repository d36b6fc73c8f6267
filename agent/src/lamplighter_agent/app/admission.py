"""Whether this device may and can run a release, and where its files come from."""

import asyncio
import platform
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from lamplighter_agent.app.services import Services
from lamplighter_agent.app.transfers import plan_transfers
from lamplighter_agent.core.retry import Backoff, class_of, pause_s
from lamplighter_agent.core.state import Installed
from lamplighter_agent.link.wanted import Wanted
from lamplighter_protocol.assignment import AssignedModel
from lamplighter_protocol.blobs import BlobRef
from lamplighter_protocol.bundle import Manifest, decode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.trust import TrustView, agree_on_release, agree_on_target

_T = TypeVar("_T")


class Admission:
    """Asks both sides of trust, then the board; fetches with patience."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def agree(self, assigned: AssignedModel, active: Installed | None) -> Installed:
        """Come to a verdict on an assigned release.

        Raises:
            LamplighterError: Why it is refused: TRUST_REFUSED, RELEASE_BELOW_MINIMUM,
                HARDWARE_FORBIDDEN, CAPABILITY_MISSING, VARIANT_UNSUPPORTED, MESSAGE_MALFORMED,
                MESSAGE_TOO_LARGE, ASSIGNMENT_EXPIRED, DEVICE_KEY_MISSING, KEY_REFUSED,
                SHADOW_ALONE.
        """
        if assigned.mode == "shadow" and active is None:
            raise LamplighterError(
                "SHADOW_ALONE", f"No release of {assigned.model} answers here that it could follow."
            )
        await self.fit(assigned)
        manifest = await self._patiently(assigned, lambda: self._agreed(assigned, active))
        variant = manifest.variant(assigned.variant)
        runtimes = self._services.inventory().runtimes
        if variant.runtime not in runtimes or (
            variant.machines and platform.machine() not in variant.machines
        ):
            raise LamplighterError(
                "VARIANT_UNSUPPORTED",
                f"{variant.name} needs {variant.runtime} on {variant.machines or 'any machine'}; "
                f"this is {platform.machine()} with {sorted(runtimes)}.",
            )
        return Installed(
            release=assigned.release,
            manifest_sha256=assigned.manifest.sha256,
            variant=assigned.variant,
            files={
                name: blob.sha256 for name, blob in manifest.blobs_for(assigned.variant).items()
            },
            load_timeout_s=manifest.health.load_timeout_s,
            memory_budget_mb=manifest.health.memory_budget_mb,
            since_utc=self._services.now_utc(),
        )

    async def fetch(self, assigned: AssignedModel) -> None:
        """Fetch the release's files, going on after every interruption until the deadline.

        Raises:
            LamplighterError: ASSIGNMENT_EXPIRED, FETCH_REFUSED, STORE_CORRUPT if the manifest is
                damaged, or what plan_transfers raises.
        """
        manifest = await self.manifest(assigned)
        files = manifest.blobs_for(assigned.variant).values()
        lacking = {blob.sha256: blob for blob in files if not self._services.blobs.has(blob.sha256)}
        await self.fit(assigned, sum(blob.size_bytes for blob in lacking.values()))
        wanted = self._plan(files, assigned)
        fetcher = self._services.fetcher
        await self._patiently(assigned, lambda: fetcher.fetch(wanted, fetcher.meter))

    def _plan(self, files: Iterable[BlobRef], assigned: AssignedModel) -> list[Wanted]:
        services = self._services
        return plan_transfers(files, assigned, services.identity, services.blobs.has)

    async def fit(self, assigned: AssignedModel, needed_bytes: int = 0) -> None:
        """Wait until the board is fit to go on; why it waits is told meanwhile.

        Args:
            assigned: What waits.
            needed_bytes: What the next step adds to the disk.

        Raises:
            LamplighterError: ASSIGNMENT_EXPIRED.
        """
        tell = self._services.tell

        def on_reason(reason: Failure) -> None:
            self._check_deadline(assigned)
            tell.waits(assigned.model, reason)

        try:
            await self._services.conditions.wait(needed_bytes, on_reason)
        finally:
            tell.waits(assigned.model, None)

    async def manifest(self, assigned: AssignedModel) -> Manifest:
        """The stored manifest, on which both sides of trust have agreed.

        Raises:
            LamplighterError: STORE_CORRUPT.
        """
        return decode_manifest(await asyncio.to_thread(self._read, assigned))

    def _read(self, assigned: AssignedModel) -> bytes:
        return self._services.blobs.verified(assigned.manifest.sha256).read_bytes()

    async def _agreed(self, assigned: AssignedModel, active: Installed | None) -> Manifest:
        view = await self._signed(assigned)
        wanted = self._plan([assigned.manifest], assigned)
        fetcher = self._services.fetcher  # what says what is desired is put off by no budget
        await fetcher.fetch(wanted, fetcher.meter.critical)
        raw = await asyncio.to_thread(self._read, assigned)
        return agree_on_release(
            raw,
            assigned,
            view,
            running=active.release if active else None,
            machine=platform.machine(),
            now_utc=self._services.now_utc(),
        )

    async def _signed(self, assigned: AssignedModel) -> TrustView:
        """Metadata that allows the release; it may arrive a little after the assignment."""
        trust = self._services.trust
        grace_s: float | None = None  # without any view the only way is to wait
        is_late = False
        while True:
            newer = trust.refreshed
            try:
                if trust.view is not None:
                    agree_on_target(
                        assigned,
                        trust.view,
                        machine=platform.machine(),
                        now_utc=self._services.now_utc(),
                    )
                    return trust.view
            except LamplighterError:
                over = self._services.now_utc() >= assigned.deadline_utc
                if over or (is_late and not trust.is_behind):
                    raise
                grace_s = self._services.settings.trust_grace_s
            try:
                await asyncio.wait_for(newer.wait(), grace_s)
            except asyncio.TimeoutError:
                is_late = True

    async def _patiently(self, assigned: AssignedModel, step: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat a step while it may succeed later and the deadline allows it."""
        settings = self._services.settings
        backoff = Backoff(settings.retry_first_s, settings.retry_max_s)
        failures = 0
        while True:
            self._check_deadline(assigned)
            try:
                return await step()
            except LamplighterError as error:
                if class_of(error) == "permanent":
                    raise
                self._services.tell.problem(error)
                wait_s = pause_s(failures, backoff, random.random(), error.retry_after_s)  # noqa: S311 - spreads a fleet, no secret
            await asyncio.sleep(wait_s)
            failures += 1

    def _check_deadline(self, assigned: AssignedModel) -> None:
        if self._services.now_utc() >= assigned.deadline_utc:
            raise LamplighterError(
                "ASSIGNMENT_EXPIRED",
                f"{assigned.model} release {assigned.release} was to start before "
                f"{assigned.deadline_utc}.",
            )
