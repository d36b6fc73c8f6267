from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_server.console import lamps, picture
from lamplighter_server.console.pages import Boxes, Snapshot, change
from lamplighter_server.devices.views import DeviceModelView, DeviceView, FailureView
from lamplighter_server.rollouts.states import DeviceState
from lamplighter_server.rollouts.views import PlaceView, RolloutDetailView, WaveView

NOW = datetime(2026, 5, 1, 12, 34, 56, tzinfo=UTC)


def make_place(device: str, wave: int, state: str, phase: str | None = None) -> PlaceView:
    return PlaceView(
        device=device,
        wave=wave,
        state=state,
        reason="because" if state == "failed" else "",
        site="mill",
        previous_release=1,
        generation=None,
        deadline_utc=None,
        settled_utc=None,
        phase=phase,
    )


def make_rollout(status: str, wave: int, places: list[PlaceView]) -> RolloutDetailView:
    return RolloutDetailView(
        id="digits-2-abc",
        model="digits",
        release=2,
        status=status,
        reason="",
        wave=wave,
        policy={},
        authors=["anna"],
        revision=1,
        needs_approval=False,
        approved_by=None,
        approved_utc=None,
        created_utc=NOW,
        started_utc=NOW,
        finished_utc=None,
        waves=[
            WaveView(wave=i, size="1", devices=1, committed=0, failed=0, opened_utc=None)
            for i in range(3)
        ],
        devices=places,
        timeline=[],
    )


def make_device(*models: DeviceModelView, online: bool = True) -> DeviceView:
    return DeviceView(
        id="cam-1",
        labels={"site": "mill", "ring": "canary"},
        online=online,
        last_seen_utc=NOW,
        enrolled_utc=NOW,
        inventory={},
        clock_synchronised=True,
        problem=None,
        models=list(models),
    )


@pytest.mark.parametrize("state", DeviceState.__args__)  # type: ignore[attr-defined]
@pytest.mark.parametrize("phase", [None, "fetching", "probation", "rolled-back"])
def test_every_state_of_a_rollout_has_a_lamp_and_a_word(state: str, phase: str | None) -> None:
    assert lamps.of_place(state, phase) in lamps.WORDS


def test_an_assigned_device_shows_what_it_is_doing() -> None:
    assert lamps.of_place("assigned", "fetching") == "updating"
    assert lamps.of_place("assigned", "probation") == "probation"


@pytest.mark.parametrize(
    ("status", "standings"),
    [
        ("running", ["done", "open", "to come"]),
        ("paused", ["done", "to come", "to come"]),
        ("aborted", ["done", "stopped", "not opened"]),
        ("succeeded", ["done", "done", "done"]),
    ],
)
def test_the_standing_of_the_waves(status: str, standings: list[str]) -> None:
    shown = picture.rollout_picture(make_rollout(status, 1, []))
    assert [wave.standing for wave in shown.waves] == standings


def test_a_rollout_counts_its_lamps_and_names_its_failures() -> None:
    places = [make_place(f"cam-{i}", 1, "failed") for i in range(8)]
    places += [make_place("cam-8", 0, "committed"), make_place("cam-9", 2, "skipped")]
    shown = picture.rollout_picture(make_rollout("running", 1, places))
    assert dict(shown.legend) == {"committed": 1, "failed": 8}
    assert (shown.committed, shown.devices) == (1, 9)
    assert [place.device for place in shown.failures] == [f"cam-{i}" for i in range(6)]
    assert shown.more_failures == 2
    assert shown.waves[1].cells[0].words == "failed: because"


def test_a_device_that_was_rolled_back_needs_a_look_and_is_found_by_its_code() -> None:
    item = DeviceModelView(
        model="digits",
        release=1,
        committed=True,
        attempted_release=2,
        phase="rolled-back",
        failure=FailureView(code="GOLDEN_MISMATCH", sentence="Row 3 differs."),
    )
    (site,) = picture.sites([make_device(item)], [])
    (row,) = site.rows
    assert (row.runs[0].running, row.runs[0].attempt) == ("committed", "rolled-back")
    assert row.attention
    assert {"cam-1", "site=mill", "ring=canary", "online", "golden_mismatch"} <= {
        *row.search.split()
    }
    assert picture.summary([site]) == (1, 1, 0, 1)


def test_a_board_that_waits_is_found_by_its_reason_and_needs_no_look() -> None:
    waits = FailureView(code="WAITS_FOR_WINDOW", sentence="Updates may run 02:00-04:00.")
    item = DeviceModelView(model="digits", release=1, committed=True, waiting=waits)
    (row,) = picture.sites([make_device(item)], [])[0].rows
    assert "waits_for_window" in row.search.split()
    assert not row.attention


def test_the_page_rests_while_a_device_is_online() -> None:
    (online,), (offline,) = (
        picture.sites([make_device(online=is_online)], [])[0].rows for is_online in (True, False)
    )
    assert online.seen_utc == datetime(2026, 5, 1, 12, 34, tzinfo=UTC)
    assert offline.seen_utc == NOW


def test_a_revoked_device_is_no_silent_one() -> None:
    device = make_device(online=False)
    (before,) = picture.sites([device], [])[0].rows
    (after,) = picture.sites([device.model_copy(update={"revoked_utc": NOW})], [])[0].rows
    assert (before.link, after.link) == ("offline", "revoked")
    assert "revoked" in after.search.split()


PARTS = st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=3))
BOXES = st.builds(lambda now, sites: {"now": now, "sites": sites}, PARTS, PARTS)


def apply(shown: Boxes, told: dict[str, Any]) -> Boxes:
    """What console.js does."""
    former = {part: html for parts in shown.values() for part, html in parts.items()}
    known = former | told["html"]
    return {box: {part: known[part] for part in parts} for box, parts in told["order"].items()}


@given(before=st.none() | BOXES, after=BOXES)
def test_a_change_brings_any_page_up_to_date(before: Boxes | None, after: Boxes) -> None:
    renamed = {"now": after["now"], "sites": {f"site-{k}": v for k, v in after["sites"].items()}}
    shown = before and {
        "now": before["now"],
        "sites": {f"site-{k}": v for k, v in before["sites"].items()},
    }
    told = change(Snapshot("1", shown) if shown else None, Snapshot("2", renamed))
    assert apply(shown or {}, told) == renamed
    if shown == renamed:
        assert told["html"] == {}
