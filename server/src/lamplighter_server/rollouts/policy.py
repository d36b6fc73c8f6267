"""What a person decides about a rollout, checked before anything is stored."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from lamplighter_protocol.assignment import Mode
from lamplighter_protocol.errors import LamplighterError

_WAVE: Final = re.compile(r"(?P<number>[1-9][0-9]{0,8})(?P<percent>%?)")
NO_SITE: Final = "-"
CANARY_RING: Final = "canary"

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plan of a rollout."""

    where: dict[str, str] = {}
    """Labels that a device must have."""
    waves: tuple[str, ...] = ("1", "25%", "100%")
    """How many devices have the release at the end of each wave: a count or a share, ascending.

    The last one is 100%; to leave devices out, select fewer.
    """
    deadline_s: Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400)] = 600
    """How long each device has from the opening of its wave until it has signed its success."""
    max_failed_devices: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How many devices of one wave may fail."""
    max_failed_share: Percent | None = None
    """Which share of one wave may fail. The stricter limit counts; without any, none may fail."""
    mode: Mode = "active"
    """Whether the release is to answer, or to run in the shadow of what does."""
    max_disagreed_share: Percent | None = None
    """In shadow mode: a device fails where more of the compared rows are answered otherwise."""
    allow_downgrade: bool = False
    """Whether devices that run a newer release are to go back to this one."""
    pause_after_waves: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()
    """Waves, counted from 0, after which a person must start the rollout again."""

    def __post_init__(self) -> None:
        self.sizes(1)
        if self.max_disagreed_share is not None and self.mode != "shadow":
            raise ValueError("max_disagreed_share is for the mode shadow")
        if unknown := [wave for wave in self.pause_after_waves if wave >= len(self.waves) - 1]:
            raise ValueError(f"no wave follows after {unknown}")

    def sizes(self, devices: int) -> list[int]:
        """The cumulative number of devices per wave; a wave may add none in a small fleet.

        Args:
            devices: How many devices take part, at least 1.
        """
        sizes: list[int] = []
        last = {"": 0, "%": 0}
        for wave in self.waves:
            match = _WAVE.fullmatch(wave)
            if match is None:
                raise ValueError(f"{wave!r} is neither a count nor a percentage")
            number, percent = int(match["number"]), match["percent"]
            if number <= last[percent] or (percent and number > 100):
                raise ValueError(f"the waves {', '.join(self.waves)} do not ascend")
            last[percent] = number
            size = -(-devices * number // 100) if percent else min(number, devices)
            sizes.append(max([size, *sizes[-1:]]))
        if self.waves[-1:] != ("100%",):
            raise ValueError("the last wave must be 100%")
        return sizes

    def tolerated(self, devices: int) -> int:
        """How many of `devices` in one wave may fail."""
        limits = []
        if self.max_failed_devices is not None:
            limits.append(self.max_failed_devices)
        if self.max_failed_share is not None:
            limits.append(devices * self.max_failed_share // 100)
        return min(limits, default=0)


def read_policy(raw: Mapping[str, Any]) -> Policy:
    """Check a policy that came from outside.

    Raises:
        LamplighterError: ROLLOUT_INVALID.
    """
    try:
        return msgspec.convert(raw, Policy)
    except ValueError as error:  # also text that is no Unicode
        raise LamplighterError("ROLLOUT_INVALID", f"The policy is not valid: {error}.") from error


def assign_waves(
    policy: Policy, devices: Mapping[str, Mapping[str, str]], *, seed: str
) -> dict[str, int]:
    """The wave of every device, the same for the same seed.

    Devices with the label `ring=canary` come first. Then the sites take turns, so that the
    canaries see as many sites as possible; within a site a seeded hash decides.

    Args:
        policy: The plan.
        devices: Labels by device.
        seed: What makes this order differ from that of another rollout.
    """
    order = _spread([d for d, labels in devices.items() if _is_canary(labels)], devices, seed)
    order += _spread([d for d, labels in devices.items() if not _is_canary(labels)], devices, seed)
    waves: dict[str, int] = {}
    for wave, size in enumerate(policy.sizes(len(order)) if order else []):
        for device in order[len(waves) : size]:
            waves[device] = wave
    return waves


def _is_canary(labels: Mapping[str, str]) -> bool:
    return labels.get("ring") == CANARY_RING


def _spread(
    devices: Sequence[str], labels: Mapping[str, Mapping[str, str]], seed: str
) -> list[str]:
    def digest(text: str) -> str:
        return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()

    turns: dict[str, int] = {}
    places = []
    for device in sorted(devices, key=digest):
        site = labels[device].get("site", NO_SITE)
        turns[site] = turns.get(site, -1) + 1
        places.append((turns[site], digest(f"site/{site}"), device))
    return [device for _, _, device in sorted(places)]
