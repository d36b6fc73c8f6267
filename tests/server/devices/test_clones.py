from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.server.conftest import FLEET, INVENTORY, START

from lamplighter_protocol import dsse
from lamplighter_protocol.reported import Reported, sign_reported
from lamplighter_server.alerts import service as alerts
from lamplighter_server.devices import revocation
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.clones import is_of_another
from lamplighter_server.ingest.handlers import Incoming, handle


def report(counter: int, at_s: int, boot: str = "b1") -> Reported:
    return Reported(
        device="cam-1",
        fleet=FLEET,
        boot=boot,
        counter=counter,
        generation=None,
        assignment_sha256=None,
        inventory=INVENTORY,
        trust=None,
        models=(),
        wants=(),
        clock_synchronised=True,
        at_utc=START + timedelta(seconds=at_s),
    )


class Server:
    """Takes reports as the ingest does, and counts alarms."""

    def __init__(self) -> None:
        self.stored: Reported | None = None
        self.alarms = 0

    def take(self, offered: Reported) -> None:
        if self.stored is None or offered.counter > self.stored.counter:
            self.stored = offered
        elif is_of_another(self.stored, offered):
            self.alarms += 1


STEPS = st.sampled_from(["report", "reboot", "lose journal"])


@given(life=st.lists(STEPS, max_size=30), again=st.lists(st.integers(0, 40), max_size=20))
def test_one_board_raises_no_alarm_whatever_happens_to_it(
    life: Sequence[str], again: Sequence[int]
) -> None:
    server, sent = Server(), [report(1, 0)]
    boot = 1
    for at_s, event in enumerate(life, start=1):
        counter = sent[-1].counter + 1
        if event == "reboot":
            boot += 1
        elif event == "lose journal":  # then it counts from the time in milliseconds
            counter = max(counter, at_s * 1000)
        sent.append(report(counter, at_s, f"b{boot}"))
    # The broker may deliver again, in any order, what it has delivered before.
    for number in range(len(sent)):
        server.take(sent[number])
        for old in again:
            server.take(sent[old % (number + 1)])
    assert server.alarms == 0


@given(before=st.integers(1, 20), first=st.integers(1, 10), second=st.integers(1, 10))
def test_a_copy_that_runs_beside_the_original_is_noticed(
    before: int, first: int, second: int
) -> None:
    server = Server()
    for number in range(1, before + 1):
        server.take(report(number, number))
    for number in range(1, first + 1):
        server.take(report(before + number, before + 10 * number, "original"))
    seen_s = before + 10 * first
    for number in range(1, second + 1):
        server.take(report(before + number, seen_s + number, "copy"))
    assert server.alarms == min(first, second)


async def hand_in(stage: Any, offered: Reported) -> None:
    raw = sign_reported(offered, dsse.SoftwareSigner(stage.boards["cam-1"].key))
    topic = stage.context.topics.device("cam-1", "reported")
    await handle(stage.context, Incoming(topic, raw, retained=False, received_utc=stage.now))


async def open_alerts(stage: Any) -> list[tuple[str, str, Any]]:
    async with stage.context.database.reading() as session:
        return [(item.kind, item.command, item.details) for item in await alerts.ls(session)]


async def test_an_operator_is_told_once_and_what_to_do(stage: Any) -> None:
    await stage.add_device("cam-1")
    await hand_in(stage, report(5, 10, "original"))
    for at_s in (20, 30):
        await hand_in(stage, report(4, at_s, "copy"))
    assert await open_alerts(stage) == [
        (
            "device-clone",
            "lamplighter device revoke cam-1",
            {"device": "cam-1", "boots": ["copy", "original"]},
        )
    ]
    async with stage.context.database.reading() as session:
        device = await devices.get(session, "cam-1")
    assert (device.report_counter, device.boot) == (5, "original")


async def test_the_alert_ends_when_the_copied_key_does(stage: Any) -> None:
    await stage.add_device("cam-1")
    await hand_in(stage, report(5, 10, "original"))
    await hand_in(stage, report(5, 20, "copy"))
    async with stage.context.database.transaction() as session:
        await revocation.revoke(stage.context, session, "cam-1", "cloned")
    assert await open_alerts(stage) == []
