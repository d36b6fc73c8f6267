"""Why something was refused or waits. A module of its own: worker processes need it, and no keys."""

import msgspec


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a release was refused or rolled back."""

    code: str
    sentence: str
