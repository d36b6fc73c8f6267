"""The update of one model as a transition table: (state, event) -> (state, effects).

The driver journals the new state before it performs the effects, in order; the last effect ends
with the next event. So every state can be met at a start, where `interrupted` says what follows.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from lamplighter_protocol.reported import Phase

State = Literal["idle"] | Phase
Event = Literal[
    "assigned",  # a new assignment names this release
    "trust-agreed",  # both sides of trust allow it, and this device can run it
    "refused",  # they do not, or its time is over
    "blobs-complete",  # every file is in the store
    "store-damaged",  # a stored file is not what was signed
    "loaded",  # the worker has the model in memory
    "load-failed",  # it has not, or not in time
    "self-test-passed",
    "shadow-due",  # it has passed, and is to see copies of the requests first
    "self-test-failed",
    "shadow-ok",  # its time in shadow is over, and nothing speaks against it
    "promoted",  # a newer assignment wants the release in shadow to be active
    "worker-lost",  # the candidate's worker is gone
    "switched",  # the release that shall serve serves now
    "probation-ok",
    "verdict-bad",
    "interrupted",  # the agent starts and finds this state in the journal
    "looped",  # the candidate was started too often
    "superseded",  # a newer assignment wants something else
]
Effect = Literal[
    "agree",  # ask both sides of trust, fetch the manifest; -> trust-agreed, refused
    "fetch",  # fetch the files; -> blobs-complete, refused
    "load",  # count the start, verify the files, start a worker; -> loaded, load-failed, ...
    "self-test",  # run the golden inputs; -> self-test-passed, shadow-due, self-test-failed, ...
    "shadow",  # let the candidate see copies, judge it; -> shadow-ok, verdict-bad, worker-lost
    "switch",  # let the candidate serve, drain the old release but keep it warm; -> switched
    "watch",  # judge health; -> probation-ok, verdict-bad, worker-lost
    "restart",  # start the candidate's worker again and let it serve; -> switched, load-failed
    "switch-back",  # let the old release serve, drain the candidate; -> switched
    "discard",  # stop the candidate
    "retire",  # stop the old release; its files stay
]

STATES: Final[tuple[State, ...]] = ("idle", *get_args(Phase))
EVENTS: Final[tuple[Event, ...]] = get_args(Event)
#: How often the worker of one attempt may be started by starts of the agent.
MAX_STARTS: Final = 5


@dataclass(frozen=True)
class Outcome:
    """The next state, journalled first, and what to do then."""

    state: State
    effects: tuple[Effect, ...] = ()


_BEGIN = Outcome("admitted", ("agree",))
_FAIL = Outcome("failed", ("discard",))
_AGAIN = Outcome("verified", ("load",))
_BACK = Outcome("rolling-back", ("switch-back",))

TRANSITIONS: Final[dict[tuple[State, Event], Outcome]] = {
    ("idle", "assigned"): _BEGIN,
    ("idle", "interrupted"): Outcome("idle"),
    ("idle", "superseded"): Outcome("idle"),
    #
    ("admitted", "trust-agreed"): Outcome("fetching", ("fetch",)),
    ("admitted", "refused"): _FAIL,
    ("admitted", "interrupted"): _BEGIN,
    ("admitted", "superseded"): Outcome("idle"),
    #
    ("fetching", "blobs-complete"): _AGAIN,
    ("fetching", "refused"): _FAIL,
    ("fetching", "store-damaged"): _BEGIN,
    ("fetching", "interrupted"): Outcome("fetching", ("fetch",)),
    ("fetching", "superseded"): Outcome("idle"),
    #
    ("verified", "loaded"): Outcome("self-testing", ("self-test",)),
    ("verified", "load-failed"): _FAIL,
    ("verified", "worker-lost"): _FAIL,
    ("verified", "store-damaged"): _BEGIN,
    ("verified", "interrupted"): _AGAIN,
    ("verified", "looped"): _FAIL,
    ("verified", "superseded"): Outcome("idle", ("discard",)),
    #
    ("self-testing", "self-test-passed"): Outcome("probation", ("switch",)),
    ("self-testing", "shadow-due"): Outcome("shadowing", ("shadow",)),
    ("self-testing", "self-test-failed"): _FAIL,
    ("self-testing", "worker-lost"): _FAIL,
    ("self-testing", "interrupted"): _AGAIN,
    ("self-testing", "superseded"): Outcome("idle", ("discard",)),
    #
    ("shadowing", "shadow-ok"): Outcome("shadowing", ("shadow",)),
    # What ran at low priority starts anew, and passes anew, before it may serve.
    ("shadowing", "promoted"): _AGAIN,
    ("shadowing", "verdict-bad"): _FAIL,
    ("shadowing", "worker-lost"): _FAIL,
    ("shadowing", "interrupted"): _AGAIN,
    ("shadowing", "superseded"): Outcome("idle", ("discard",)),
    #
    ("probation", "switched"): Outcome("probation", ("watch",)),
    ("probation", "worker-lost"): Outcome("probation", ("restart",)),
    ("probation", "load-failed"): _BACK,
    ("probation", "probation-ok"): Outcome("committed", ("retire",)),
    ("probation", "verdict-bad"): _BACK,
    # The committed release serves at once after a start; the candidate must pass anew.
    ("probation", "interrupted"): _AGAIN,
    ("probation", "superseded"): _BACK,
    #
    ("rolling-back", "switched"): Outcome("rolled-back", ("discard",)),
    # The start has already brought the committed release up.
    ("rolling-back", "interrupted"): Outcome("rolled-back"),
    ("rolling-back", "superseded"): _BACK,
    #
    ("committed", "assigned"): _BEGIN,
    ("committed", "interrupted"): Outcome("committed"),
    ("committed", "superseded"): Outcome("committed"),
    ("rolled-back", "assigned"): _BEGIN,
    ("rolled-back", "interrupted"): Outcome("rolled-back"),
    ("rolled-back", "superseded"): Outcome("rolled-back"),
    ("failed", "assigned"): _BEGIN,
    ("failed", "interrupted"): Outcome("failed"),
    ("failed", "superseded"): Outcome("failed"),
}

#: The events with which each effect may end; the driver is held to it.
YIELDS: Final[dict[Effect, frozenset[Event]]] = {
    "agree": frozenset({"trust-agreed", "refused"}),
    "fetch": frozenset({"blobs-complete", "store-damaged", "refused"}),
    "load": frozenset({"loaded", "load-failed", "worker-lost", "store-damaged", "looped"}),
    "self-test": frozenset({"self-test-passed", "shadow-due", "self-test-failed", "worker-lost"}),
    "shadow": frozenset({"shadow-ok", "verdict-bad", "worker-lost"}),
    "switch": frozenset({"switched", "worker-lost"}),
    "watch": frozenset({"probation-ok", "verdict-bad", "worker-lost"}),
    "restart": frozenset({"switched", "load-failed", "worker-lost"}),
    "switch-back": frozenset({"switched"}),
    "discard": frozenset(),
    "retire": frozenset(),
}

#: Where nothing is under way: the only states in which a new attempt may begin.
RESTING: Final[frozenset[State]] = frozenset({"idle", "committed", "rolled-back", "failed"})


def possible(state: State) -> frozenset[Event]:
    """The events that can happen in a state; all others are refused.

    They are the ones with which the effects performed in that state may end, `assigned` where
    nothing is under way, `promoted` in shadow, and everywhere `interrupted` and `superseded`.
    """
    entered = {outcome for outcome in TRANSITIONS.values() if outcome.state == state}
    ends = [YIELDS[outcome.effects[-1]] for outcome in entered if outcome.effects]
    begins: frozenset[Event] = frozenset({"assigned"} if state in RESTING else ())
    promotes: frozenset[Event] = frozenset({"promoted"} if state == "shadowing" else ())
    return frozenset[Event]({"interrupted", "superseded"}).union(begins, promotes, *ends)


def step(state: State, event: Event) -> Outcome:
    """Look up what follows.

    Raises:
        ValueError: The event is not possible in this state: a programmer error.
    """
    outcome = TRANSITIONS.get((state, event))
    if outcome is None:
        raise ValueError(f"{event} cannot happen in {state}")
    return outcome
