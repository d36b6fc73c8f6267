"""Carrying out a step: assignments, blobs, alerts and rows, all in the tick's transaction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.assignment import Generation, Mode
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.alerts import service as alerts
from lamplighter_server.assignments import service as assignments
from lamplighter_server.assignments.models import Wanted
from lamplighter_server.blobs import service as blobs
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.devices import revocation
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.rollouts import repository
from lamplighter_server.rollouts.models import Rollout, RolloutDevice
from lamplighter_server.rollouts.plan import Step
from lamplighter_server.rollouts.policy import Policy
from lamplighter_server.rollouts.states import FAILED, DeviceState


@dataclass(frozen=True)
class Work:
    """One rollout in one transaction, with all that its step reads and changes."""

    context: Context
    session: AsyncSession
    rollout: Rollout
    places: Mapping[str, RolloutDevice]
    policy: Policy
    manifest: Manifest
    manifest_sha256: str
    sealed: bool
    """Whether the model is confidential."""
    devices: Mapping[str, Device]
    wanted: Mapping[str, Wanted]
    """What each device is to have of this model at present, in the mode of the rollout."""
    now_utc: datetime

    async def apply(self, todo: Step) -> None:
        """Store the step and do what it says."""
        row = self.rollout
        for place in todo.settled:
            self._settle(self.places[place.device], place.state, place.reason)
        if todo.assign:
            await self._assign(todo.assign)
            row.wave_started_utc = self.now_utc
        if todo.restore:
            await self._restore(todo.restore)
            await self._tell_of_abort(todo)
        row.status, row.wave, row.reason = todo.status, todo.wave, todo.reason
        if todo.status in {"aborted", "succeeded"}:
            row.finished_utc = self.now_utc
            await blobs.unwant(self.session, self._wanted_by)
        if todo.status == "succeeded":
            for earlier in await repository.ids_aborted(self.session, row.model):
                await alerts.resolve(self.session, _alert_key(earlier), self.now_utc)

    @property
    def _wanted_by(self) -> str:
        return f"rollout:{self.rollout.id}"

    @property
    def _deadline_utc(self) -> datetime:
        return self.now_utc + timedelta(seconds=self.policy.deadline_s)

    def _settle(self, place: RolloutDevice, state: DeviceState, reason: str) -> None:
        place.state, place.reason, place.settled_utc = state, reason, self.now_utc

    async def _assign(self, names: Iterable[str]) -> None:
        row = self.rollout
        chosen = {name: variant for name in names if (variant := self._choose(name))}
        for name, variant in chosen.items():
            place = self.places[name]
            previous = self._previous(name)
            if previous is not None:
                place.previous_release, place.previous_variant = previous
            await assignments.want(
                self.session,
                device=name,
                model=row.model,
                release=row.release,
                variant=variant,
                rollout=row.id,
                deadline_utc=self._deadline_utc,
                allow_downgrade=self.policy.allow_downgrade,
                mode=self.policy.mode,
            )
            place.state, place.deadline_utc = "assigned", self._deadline_utc
        await self._publish(set(chosen.values()))
        issued = await assignments.issue(self.context, self.session, list(chosen), self.now_utc)
        for name, generation in issued.items():
            self.places[name].assigned_epoch = generation.epoch
            self.places[name].assigned_counter = generation.counter

    def _choose(self, name: str) -> str | None:
        """The variant for a device; one that has changed and can run none any more has failed."""
        device = self.devices[name]
        inventory = devices.read_inventory(device)
        try:
            revocation.check_admitted(device)
            if self.sealed:
                confidential.check_receiver(name, device.agreement_public, inventory)
            return assignments.choose_variant(self.manifest, inventory)
        except LamplighterError as error:
            self._settle(self.places[name], "failed", f"{error.code}: {error.sentence}")
            return None

    async def _publish(self, variants: set[str]) -> None:
        """Publish what the devices assigned so far need."""
        for name, place in self.places.items():
            if place.assigned_counter is not None and self._is_ours(name):
                variants.add(self.wanted[name].variant)
        files = [blob.sha256 for v in variants for blob in self.manifest.blobs_for(v).values()]
        row = self.rollout
        wanted = await confidential.names_on_wire(
            self.context, self.session, row.model, row.release, [self.manifest_sha256, *files]
        )
        await blobs.want(self.session, wanted, self._wanted_by, self.now_utc)

    def _previous(self, name: str) -> tuple[int, str] | None:
        """(release, variant) to go back to: what the device has committed, or was to have.

        None if it was to have nothing of this model, and in shadow mode, which takes nothing away.
        """
        wanted = self.wanted.get(name)
        if wanted is None or self.policy.mode == "shadow":
            return None
        report = devices.read_report(self.devices[name])
        candidates = [
            (item.active.release, item.active.variant)
            for item in (report.models if report else ())
            if item.model == self.rollout.model and item.active and item.active.committed
        ]
        candidates.append((wanted.release, wanted.variant))
        return next((item for item in candidates if item[0] != self.rollout.release), None)

    def _is_ours(self, name: str) -> bool:
        wanted = self.wanted.get(name)
        return wanted is not None and wanted.rollout == self.rollout.id

    async def _restore(self, names: Iterable[str]) -> None:
        """Give devices their previous release back, unless somebody decided otherwise since."""
        ours = [name for name in names if self._is_ours(name)]
        for name in ours:
            place = self.places[name]
            if place.previous_release is None or place.previous_variant is None:
                mode: Mode | None = "shadow" if self.policy.mode == "shadow" else None
                await assignments.withdraw(self.session, name, self.rollout.model, mode=mode)
                continue
            await assignments.want(
                self.session,
                device=name,
                model=self.rollout.model,
                release=place.previous_release,
                variant=place.previous_variant,
                rollout=None,
                deadline_utc=self._deadline_utc,
                allow_downgrade=True,
            )
        await assignments.issue(self.context, self.session, ours, self.now_utc)

    async def _tell_of_abort(self, todo: Step) -> None:
        row = self.rollout
        await alerts.open_alert(
            self.session,
            kind="rollout-aborted",
            key=_alert_key(row.id),
            sentence=(
                f"Rollout {row.id} of {row.model} release {row.release} was stopped; "
                f"devices that get their previous release back: {len(todo.restore)}. "
                f"{todo.reason.rstrip('.')}."
            ),
            command=f"lamplighter rollout status {row.id}",
            details={
                "rollout": row.id,
                "model": row.model,
                "release": row.release,
                "wave": todo.wave,
                "failed": {
                    place.device: place.reason
                    for place in self.places.values()
                    if place.state in FAILED
                },
                "restored": list(todo.restore),
            },
            now=self.now_utc,
        )


def _alert_key(rollout: str) -> str:
    return f"rollout/{rollout}"


def generation_of(place: RolloutDevice) -> Generation | None:
    """The generation of the envelope that named the release, once it was issued."""
    if place.assigned_epoch is None or place.assigned_counter is None:
        return None
    return Generation(place.assigned_epoch, place.assigned_counter)
