"""What was signed last, kept beside the keys: no server is believed over it."""

from pathlib import Path
from typing import Final

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.files import write_durably

_ROOT: Final = "root.json"
_TARGETS: Final = "targets.json"
_PENDING: Final = "targets.pending.json"


class SignedState:
    """The client's own root and targets.

    New targets are pending until the server has answered. They are kept before they are sent: if
    the answer is lost, the next run knows what it may have signed.
    """

    def __init__(self, folder: Path) -> None:
        self._root, self._targets = folder / _ROOT, folder / _TARGETS
        self._pending = folder / _PENDING

    @property
    def established(self) -> bool:
        """Whether a server has accepted the first root and targets."""
        return self._targets.exists()

    def unconfirmed_first(self) -> tuple[bytes, bytes] | None:
        """The first root and targets if they were signed and no answer to them came."""
        if self.established or not (self._root.exists() and self._pending.exists()):
            return None
        return self._root.read_bytes(), self._pending.read_bytes()

    def keep_first(self, root: bytes, targets: bytes) -> None:
        """Keep the first root and targets before they are sent."""
        write_durably(self._root, root)
        self.keep(targets)

    def forget_first(self) -> None:
        """A server has refused them: the next attempt signs anew."""
        self._pending.unlink(missing_ok=True)
        self._root.unlink(missing_ok=True)

    def keep(self, targets: bytes) -> None:
        """Keep new targets before they are sent."""
        write_durably(self._pending, targets)

    def confirm(self) -> None:
        """The server has taken the pending targets."""
        self._pending.replace(self._targets)

    def agree(self, served: bytes) -> bytes:
        """The targets that were signed last, which the server must have too.

        Raises:
            LamplighterError: TRUST_REFUSED.
        """
        if self._pending.exists() and self._pending.read_bytes() == served:
            self.confirm()
        if not self.established or self._targets.read_bytes() != served:
            raise LamplighterError(
                "TRUST_REFUSED",
                "The server's targets are not the ones that were signed last with these keys.",
            )
        return served
