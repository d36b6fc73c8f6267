"""What an attacker does to bytes: the same number always makes the same change."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

MAX_MUTATIONS: Final = 4
#: Values that decoders tend to forget, as they stand in JSON.
NASTY: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 0.5, -0.0, 1e308, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1),
    *(10**400, float("nan"), float("inf"), "", "\x00", "\ud800", "../../etc/passwd", "a" * 70_000),
    *("1" * 5000, "٣", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+23:59", "1970-01-01T00"),
    *([], {}, [[]], {"": ""}, ["targets"] * 2),
)
_TOKENS: Final = (
    *(b"\xff\xfe", b"\x00", b"NaN", b"-Infinity", b"1e999", b"-0", b'"\\ud800"', b"null", b"{}"),
    *(b"9" * 5000, b"[" * 5000, b'{"a":' * 3000, b"\x91" * 5000, b"\xdf\xff\xff\xff\xff"),
    *(b"\xcf" + b"\xff" * 8, b"\xd3" + b"\x80" + b"\x00" * 7, b"\xc7\x00\xff", b"\xd6\xff" * 2),
)


def mutate(raw: bytes, number: int) -> bytes:
    """Change `raw` in one to MAX_MUTATIONS places, as `number` decides."""
    chance = random.Random(number)
    for _ in range(chance.randint(1, MAX_MUTATIONS)):
        raw = chance.choice(_MUTATIONS)(raw, chance)
    return raw


def _flip(raw: bytes, chance: random.Random) -> bytes:
    if not raw:
        return raw
    at = chance.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]


def _truncate(raw: bytes, chance: random.Random) -> bytes:
    return raw[: chance.randint(0, len(raw))]


def _splice(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(raw))
    return raw[:at] + chance.choice(_TOKENS) + raw[at + chance.choice((0, 1, 8)) :]


def _duplicate(raw: bytes, chance: random.Random) -> bytes:
    first, last = sorted((chance.randint(0, len(raw)), chance.randint(0, len(raw))))
    return raw[:last] + raw[first:last] * chance.choice((1, 2, 50)) + raw[last:]


def _restructure(raw: bytes, chance: random.Random) -> bytes:
    """Give one value of a JSON document another one, take it away, repeat it or wrap it deep."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return _flip(raw, chance)
    places = list(_places(document))
    if not places:
        return raw
    holder, key = chance.choice(places)
    change = chance.randrange(5)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, list):
        holder.extend([holder[key]] * chance.choice((1, 300)))
    elif change == 1:
        holder[f"{key}x"] = holder[key]
    elif change == 2:
        for _ in range(chance.choice((1, 70, 900))):
            holder[key] = [holder[key]]
    else:
        holder[key] = chance.choice(NASTY)
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass")
    except RecursionError:
        return raw


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys: Any = holder if isinstance(holder, dict) else ()
        for key in range(len(holder)) if isinstance(holder, list) else keys:
            yield holder, key
            waiting.append(holder[key])


_MUTATIONS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    *(_flip, _truncate, _splice, _duplicate),
    *(_restructure,) * 4,  # what passes the parser reaches the code behind it
)
