"""How every attack ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lamplighter_protocol.errors import LamplighterError


@contextmanager
def refused(code: str) -> Iterator[None]:
    """What happens in this block must be refused with this code."""
    with pytest.raises(LamplighterError) as caught:
        yield
    assert caught.value.code == code, caught.value
