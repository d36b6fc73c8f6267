"""What device cam-1 of fleet main may not do, for every broker."""

from typing import Final

from lamplighter_protocol.topics import DEVICE_READS, DEVICE_WRITES, Topics

DEVICE: Final = "cam-1"
TOPICS: Final = Topics("main")
#: Names that begin or end like the device's own, or are none at all.
OTHERS: Final = ("cam-2", "cam-10", "cam", "xcam-1", "cam-1x", "+", "#", "lamplighter.relay", "")
_DIGEST: Final = "a" * 64


def _filled(leaf: str) -> str:
    return leaf.replace("+", "7")


def _topics_of(device: str, leaves: tuple[str, ...]) -> list[str]:
    return [TOPICS.device(device, _filled(leaf)) for leaf in leaves]


ALLOWED_WRITES: Final = tuple(_topics_of(DEVICE, DEVICE_WRITES))
ALLOWED_READS: Final = (*TOPICS.device_may_read(DEVICE),)

#: Topics with no wildcard: what may be published is always a name.
FORBIDDEN_WRITES: Final = tuple(
    topic
    for topic in (
        *(topic for other in OTHERS for topic in _topics_of(other, DEVICE_WRITES)),
        *_topics_of(DEVICE, ("desired", "ack", "cmd/7", "rpc/7/reply", "", "x", "reported/x")),
        *_topics_of(f"{DEVICE}/d/{DEVICE}", ("reported",)),
        TOPICS.trust("index"),
        TOPICS.trust("1.root.json"),
        TOPICS.chunk(_DIGEST, 0),
        *(Topics(fleet).device(DEVICE, "reported") for fleet in ("other", "main2", "mai")),
        f"lamp/2/main/d/{DEVICE}/reported",
        f"d/{DEVICE}/reported",
        f"/lamp/1/main/d/{DEVICE}/reported",
        "lamp/1/main",
        "x",
    )
    if "+" not in topic and "#" not in topic
)

#: Filters under which nothing of anybody else may come.
FORBIDDEN_READS: Final = (
    "#",
    "+/#",
    "lamp/#",
    "lamp/1/#",
    "lamp/1/main/#",
    "lamp/1/+/d/+/reported",
    "lamp/1/main/d/#",
    "lamp/1/main/d/+/desired",
    "lamp/1/main/d/+/window",
    f"lamp/1/main/d/{DEVICE}/#",
    f"lamp/1/main/d/{DEVICE}/reported",
    "lamp/1/main/d/cam-2/desired",
    "lamp/1/main/d/cam-10/desired",
    "lamp/1/other/trust/#",
    "$SYS/#",
    "$share/thieves/lamp/1/main/d/+/desired",
    "$share/thieves/lamp/1/main/d/+/reported",
)
#: What others are told, and must not reach the device under any filter.
NOT_FOR_IT: Final = (
    *(topic for other in ("cam-2", "cam-10") for topic in _topics_of(other, DEVICE_READS)),
    *(topic for other in (DEVICE, "cam-2") for topic in _topics_of(other, DEVICE_WRITES)),
)
