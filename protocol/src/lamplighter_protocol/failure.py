"""Why something was refused or waits; apart from `reported`, as workers need it without keys."""

import msgspec


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a release was refused or rolled back."""

    code: str
    sentence: str
