"""Updates that a person carries to a board: the broker's retained messages for it, in one file.

A ZIP whose entries bear the names of topics and are stored as they are. Nothing in it is believed
because of how it came: each entry takes the way that a message of its topic takes.
"""

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics

#: A folder may hold one file for each of many boards: `pi-1.lamp`.
SUFFIX = ".lamp"
MAX_ENTRIES = 200_000


def check_entry(name: str, topics: Topics, device: str) -> None:
    """Refuse an entry that no broker would send to this device.

    Raises:
        LamplighterError: ASSIGNMENT_FOREIGN if it is for another device or fleet,
            CARRIED_REFUSED if it is no topic at all.
    """
    if name == topics.device(device, "desired"):
        return
    for parse in (topics.parse_trust, topics.parse_chunk):
        try:
            parse(name)
        except LamplighterError:
            continue
        return
    parts = name.split("/")
    if len(parts) == 6 and parts[3] == "d" and parts[5] == "desired":
        raise LamplighterError(
            "ASSIGNMENT_FOREIGN",
            f"The file is for {parts[2]}/{parts[4]}, not {topics.fleet}/{device}.",
        )
    raise LamplighterError("CARRIED_REFUSED", f"The entry {name[:80]!r} does not belong there.")
