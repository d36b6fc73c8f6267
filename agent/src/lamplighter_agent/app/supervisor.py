"""Composes the agent: one process that decides, stores and speaks, and workers that run models."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Coroutine
from datetime import datetime, timezone
from typing import Any

from lamplighter_agent import __version__
from lamplighter_agent.app.bell import answer
from lamplighter_agent.app.carrier import Carrier
from lamplighter_agent.app.conditions import Conditions
from lamplighter_agent.app.config import Settings
from lamplighter_agent.app.counts_door import CountsDoor
from lamplighter_agent.app.desired import Desired
from lamplighter_agent.app.feeder import Feeder
from lamplighter_agent.app.fetching import budget_state, make_fetcher
from lamplighter_agent.app.inbox import Inbox
from lamplighter_agent.app.renewal import Renewal
from lamplighter_agent.app.reporter import Reporter, trust_state
from lamplighter_agent.app.sender import Sender
from lamplighter_agent.app.services import Services
from lamplighter_agent.app.slots import Slot
from lamplighter_agent.app.status import Status, describe_serving, summary, write_status
from lamplighter_agent.app.systemd import notify, stay_alive
from lamplighter_agent.app.tasks import cancel
from lamplighter_agent.app.teller import Teller
from lamplighter_agent.app.trust_follower import follow_trust
from lamplighter_agent.app.updater import ModelUpdater
from lamplighter_agent.app.windows import Windows
from lamplighter_agent.core.reconcile import Promote, Remove, Start, reconcile
from lamplighter_agent.core.update import RESTING
from lamplighter_agent.link.broker_way import BrokerWay
from lamplighter_agent.link.mqtt import Broker, Link
from lamplighter_agent.link.tls import device_context
from lamplighter_agent.observe.inventory import boot_id, describe_board, take_inventory
from lamplighter_agent.observe.vitals import take_vitals
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.counter import ReportCounter
from lamplighter_agent.store.high_water import HighWaterFile
from lamplighter_agent.store.identity import Identity
from lamplighter_agent.store.journal import Journal
from lamplighter_agent.store.outbox import Outbox
from lamplighter_agent.trust.refresh import Trust, TrustDirs
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import REPLY_LEAF
from lamplighter_protocol.telemetry import Event
from lamplighter_protocol.topics import Topics

_LOG = logging.getLogger(__name__)


class Supervisor:
    """The agent's main process.

    Args:
        identity: Who the device is.
        settings: What can be set.
        plain: Speak without TLS; only tests against a broker on loopback do.
    """

    def __init__(self, identity: Identity, settings: Settings, *, plain: bool = False) -> None:
        data, enrolment = settings.data, identity.enrolment
        self._identity = identity
        self._settings = settings
        self._topics = Topics(enrolment.fleet)
        boot = boot_id()
        self._journal = Journal(data.journal)
        self._outbox = Outbox(data.outbox, boot=boot, max_bytes=int(settings.outbox_max_mb * 2**20))
        self._trust = Trust(
            TrustDirs(data.trust / "store", data.trust / "inbox", identity.root_file)
        )
        self._teller = Teller(self._outbox, self.now_utc)
        tls = (
            None
            if plain
            else device_context(identity.ca_file, identity.certificate_file, identity.key_file)
        )
        broker = Broker(
            host=enrolment.broker_host,
            port=enrolment.broker_port,
            identifier=enrolment.device,
            presence=self._topics.device(enrolment.device, "presence"),
            tls=tls,
            now_utc=self.now_utc,
            keepalive_s=settings.keepalive_s,
        )
        self._link = Link(broker, self._on_message, self._on_connected, self._write_status)
        self._renewal = None
        if tls is not None:
            self._renewal = Renewal(
                identity,
                self._link,
                tls,
                self._teller.problem,
                self.now_utc,
                interval_s=settings.renewal_interval_s,
            )
        blobs = BlobStore(data.blobs)
        self._carrier = Carrier(
            data.carried, enrolment, self._link, self._on_message, self._teller.problem
        )
        self._broker_way = BrokerWay(
            self._topics, self._carrier, self._teller.problem, stall_s=settings.stall_s
        )
        fetcher = make_fetcher(
            identity, settings, blobs, self._broker_way, tls, self._teller, self.now_utc
        )
        self._desired = Desired(
            enrolment,
            self._journal,
            HighWaterFile(data.high_water, sha256(identity.root_file.read_bytes())),
            self._teller,
            self.now_utc,
        )
        self._inventory = describe_board({})
        self._sender = Sender(self._outbox, self._link, identity, self._teller)
        self._reporter = Reporter(
            identity,
            self._journal,
            ReportCounter(data.report_counter),
            self._trust,
            fetcher,
            self._teller,
            self._link,
            newest=data.reported,
            boot=boot,
            inventory=lambda: self._inventory,
            now_utc=self.now_utc,
            is_synchronised=self._is_synchronised,
            retry_s=settings.retry_max_s,
        )
        self._services = Services(
            identity=identity,
            settings=settings,
            journal=self._journal,
            blobs=blobs,
            fetcher=fetcher,
            trust=self._trust,
            windows=Windows(
                lambda window: self._teller.put("window", window),
                lambda: self._journal.document.window_s,
                self.now_utc,
                self._is_synchronised,
            ),
            tell=self._teller,
            now_utc=self.now_utc,
            conditions=Conditions(settings, blobs, self._is_synchronised),
            # A carried update has no server to lose: it is not kept in probation for one.
            connected=lambda: self._link.connected or self._carrier.present,
            inventory=lambda: self._inventory,
            spawn=self._spawn,
        )
        self._counts_door = CountsDoor(
            data.counts, self._journal, blobs, self._services.windows.take, self.now_utc
        )
        self._inbox = Inbox(
            self._topics,
            enrolment.device,
            chunk=self._broker_way.on_chunk,
            trust=self._trust.take,
            own={
                "desired": self._take_desired,
                "ack": self._sender.on_ack,
                **({REPLY_LEAF: self._renewal.take} if self._renewal else {}),
            },
            problem=self._teller.problem,
        )
        self._updaters: dict[str, ModelUpdater] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._broken: BaseException | None = None
        self._deciding: asyncio.Task[None] | None = None

    def now_utc(self) -> datetime:
        """The best known time: the clock, but never before what was signed.

        The director's word counts only up to the expiry of the offline roles, and only while its
        keys do: a thief of them cannot set the fleet's time for good.
        """
        clock_utc = datetime.now(timezone.utc)
        view, issued_utc = self._trust.view, self._desired.issued_utc
        if view is None:
            return clock_utc
        directed_utc = min(issued_utc or clock_utc, view.offline_until_utc)
        return max(clock_utc, view.issued_floor_utc, directed_utc)

    def _is_synchronised(self) -> bool:
        view = self._trust.view
        return view is not None and datetime.now(timezone.utc) >= view.issued_floor_utc

    def stop(self) -> None:
        """Let `run` end."""
        self._stopped.set()

    async def run(self) -> None:
        """Serve, connect and follow the assignment until `stop` or a signal.

        Raises:
            LamplighterError: PORT_IN_USE at the start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)
        run = self._settings.data.run
        shutil.rmtree(run, ignore_errors=True)
        with contextlib.suppress(OSError):  # slots and sockets do without it
            run.mkdir(parents=True, exist_ok=True)
        self._teller.event(
            Event(at_utc=self.now_utc(), kind="started", sentence=f"Agent {__version__}.")
        )
        try:
            for name in self._journal.document.models:
                self._updater(name).serve()
            self._inventory = await take_inventory(self._settings.probe_command)
            for task in (
                self._link.run(),
                follow_trust(self._trust, self._ask_for_trust, self._teller, self._settings),
                self._sender.run(),
                self._reporter.run(self._write_status),
                self._services.windows.run(self._slots),
                self._counts_door.run(),
                self._take_vitals(),
                answer(self._settings.data.bell, self._teller.reconcile_due.set),
                stay_alive(),
            ):
                self._spawn(task)
            self._deciding = self._spawn(self._follow_assignment())
            if self._renewal is not None:
                self._spawn(self._renewal.run())
            if self._settings.source:
                self._spawn(Feeder(self._settings, self._teller.problem).run())
            self._teller.report_due.set()
            notify(READY="1")
            await self._stopped.wait()
        finally:
            notify(STOPPING="1")
            await self._shut_down()
        if self._broken is not None:
            raise self._broken

    async def _shut_down(self) -> None:
        await cancel(filter(None, (self._deciding,)))  # nothing new begins
        closing = [updater.close() for updater in self._updaters.values()]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*closing)
        await self._link.say_goodbye()
        await cancel(set(self._tasks))
        self._write_status()
        self._carrier.close()
        self._outbox.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = self._broken or error
            self.stop()

    # What comes from the broker.

    def _on_connected(self) -> None:
        self._link.subscribe(self._inbox.subscriptions, qos=1)
        self._broker_way.on_connected()
        self._sender.start_over()
        self._teller.changed()

    def _on_message(self, topic: str, payload: bytes) -> None:
        self._inbox.take(topic, payload)

    def _take_desired(self, payload: bytes) -> None:
        self._desired.take(payload)
        self._teller.reconcile_due.set()

    def _ask_for_trust(self) -> None:
        self._link.subscribe([self._topics.trust("#")], qos=1)  # it is retained

    # The loops.

    async def _follow_assignment(self) -> None:
        await asyncio.gather(*(updater.resume() for updater in self._updaters.values()))
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(
                    self._teller.reconcile_due.wait(), self._settings.reconcile_interval_s
                )
            self._teller.reconcile_due.clear()
            self._carrier.look()
            assignment = self._desired.in_force(self._trust.view)
            models = self._journal.document.models
            steps = reconcile(assignment, models, self.now_utc()) if assignment else ()
            if not steps and self._is_at_rest():
                self._carrier.settle()
            for step in steps:
                if isinstance(step, Start):
                    updater = self._updater(step.assigned.model)
                    await updater.begin(step.assigned, step.generation)
                elif isinstance(step, Promote):
                    updater = self._updater(step.assigned.model)
                    await updater.promote(step.assigned, step.generation)
                elif isinstance(step, Remove):
                    await self._remove(step.model)
                else:
                    await self._updater(step.model).supersede()

    def _is_at_rest(self) -> bool:
        models = self._journal.document.models.values()
        return not self._trust.is_behind and all(one.state in RESTING for one in models)

    async def _remove(self, model: str) -> None:
        if (updater := self._updaters.get(model)) is not None:
            await updater.close()
            del self._updaters[model]
        try:
            self._journal.forget_model(model)
        except LamplighterError as error:
            self._teller.problem(error)
        self._teller.changed()

    async def _take_vitals(self) -> None:
        while True:
            await asyncio.sleep(self._settings.vitals_interval_s)
            rss_mb = {
                slot.model: slot.beat.rss_mb for slot in self._slots() if slot.serving and slot.beat
            }
            try:
                dropped = self._outbox.dropped
            except LamplighterError as error:
                self._teller.problem(error)
                continue
            vitals = take_vitals(self.now_utc(), self._settings.data.path, rss_mb, dropped)
            self._teller.put("vitals", vitals)
            self._write_status()

    # What the models have.

    def _updater(self, model: str) -> ModelUpdater:
        if model not in self._updaters:
            port = self._settings.serve_port
            port = port + len(self._updaters) if port else 0
            self._updaters[model] = ModelUpdater(model, self._services, port)
        return self._updaters[model]

    def _slots(self) -> list[Slot]:
        return [slot for updater in self._updaters.values() for slot in updater.slots]

    def _write_status(self) -> None:
        enrolment = self._identity.enrolment
        try:
            dropped = self._outbox.dropped
        except LamplighterError as error:
            self._teller.problem(error)
            dropped = {}
        status = Status(
            pid=os.getpid(),
            device=enrolment.device,
            fleet=enrolment.fleet,
            connected=self._link.connected,
            connection_problem=self._link.problem,
            models=tuple(model.report() for model in self._journal.document.models.values()),
            serve={
                name: describe_serving(updater.sockets, updater.serving)
                for name, updater in self._updaters.items()
                if updater.sockets is not None
            },
            trust=trust_state(self._trust),
            budget=budget_state(self._services.fetcher.meter, self.now_utc()),
            problem=self._teller.last_problem,
            waiting=dict(self._teller.waiting),
            dropped=dropped,
            at_utc=self.now_utc(),
        )
        notify(STATUS=summary(status))
        try:
            write_status(self._settings.data.status, status)
        except OSError as error:
            _LOG.warning("status.json cannot be written: %s", error)
