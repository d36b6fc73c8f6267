"""What comes from the broker, handed to those whom it is for."""

from collections.abc import Callable, Mapping

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics


class Inbox:
    """Routes messages; whatever one holds, nothing worse than a problem comes of it.

    Args:
        topics: Topics of the fleet.
        device: This device's id.
        chunk: Takes a chunk: the digest of its blob, its number, its bytes.
        trust: Takes a metadata file: its name, its bytes.
        own: What takes the messages to this device, by the last part of their topic.
        problem: Told of what is refused.
    """

    def __init__(
        self,
        topics: Topics,
        device: str,
        *,
        chunk: Callable[[str, int, bytes], None],
        trust: Callable[[str, bytes], None],
        own: Mapping[str, Callable[[bytes], None]],
        problem: Callable[[LamplighterError], None],
    ) -> None:
        self._topics = topics
        self._chunk = chunk
        self._trust = trust
        self._own = {topics.device(device, leaf): take for leaf, take in own.items()}
        self._problem = problem

    @property
    def subscriptions(self) -> list[str]:
        """What to ask the broker for on every connection; chunks are asked for one by one."""
        return [*self._own, self._topics.trust("#")]

    def take(self, topic: str, payload: bytes) -> None:
        """Hand one message on."""
        try:
            self._route(topic, payload)
        except LamplighterError as error:
            self._problem(error)

    def _route(self, topic: str, payload: bytes) -> None:
        branch = topic.split("/", 4)[3:4]
        if branch == ["blob"]:
            self._chunk(*self._topics.parse_chunk(topic), payload)
        elif branch == ["trust"]:
            self._trust(self._topics.parse_trust(topic), payload)
        elif topic in self._own:
            self._own[topic](payload)
        else:
            raise LamplighterError("MESSAGE_MALFORMED", f"Unexpected topic {topic!r}.")
