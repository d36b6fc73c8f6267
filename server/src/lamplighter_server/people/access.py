"""Who may do what: roles, scopes, and the declaration that every route of the people's door has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.actor import Actor


class Role(StrEnum):
    """What a person may do; each role includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def includes(self, least: "Role") -> bool:
        """Whether this role may do what `least` may."""
        order = list(Role)
        return order.index(self) >= order.index(least)


#: Methods that change nothing.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Scope = frozenset[tuple[str, str]]
"""Labels that a device must have to be seen or touched. Two scopes together are their union."""
FLEET: Final[Scope] = frozenset()
"""The scope of somebody who is not limited."""


#: The credential in the data folder: whoever can read that file owns the server anyway.
BOOTSTRAP: Final = Actor("token", "admin")


def covers(scope: Scope, labels: Mapping[str, str]) -> bool:
    """Whether something with these labels lies inside the scope."""
    return scope <= labels.items()


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and with what rights.

    Attributes:
        actor: As the audit log names it: a user, or a user's token.
        person: The user behind it. All credentials of one person are the same person.
        role: The most that this credential may do.
        scope: Where it may do so.
        csrf: What a form of this session must carry; None where no browser session speaks.
    """

    actor: Actor
    person: str
    role: Role
    scope: Scope = FLEET
    csrf: str | None = None

    @property
    def is_api_token(self) -> bool:
        """Whether a program speaks, not the person."""
        return self.actor.kind == "token" and self.actor != BOOTSTRAP

    def check_sees(self, labels: Mapping[str, str], code: str, sentence: str) -> None:
        """Outside its scope a caller is told what it would be told if there were nothing.

        Raises:
            LamplighterError: `code`.
        """
        if not covers(self.scope, labels):
            raise LamplighterError(code, sentence)

    def check_touches(self, labels: Mapping[str, str]) -> None:
        """What is made with these labels must lie inside the scope.

        Raises:
            LamplighterError: SCOPE_MISSING.
        """
        if not covers(self.scope, labels):
            shown = ", ".join(f"{name}={value}" for name, value in sorted(self.scope))
            raise LamplighterError("SCOPE_MISSING", f"{self.person} is limited to {shown}.")


@dataclass(frozen=True)
class Access:
    """What a route asks of its caller.

    Attributes:
        least: The least role; None where nobody has to be signed in.
        narrows: Whether the endpoint keeps to the caller's scope by itself. Where it does not,
            callers who are limited to labels are refused.
    """

    least: Role | None
    narrows: bool


F = TypeVar("F", bound=Callable[..., Any])


def requires(least: Role, *, narrows: bool = False) -> Callable[[F], F]:
    """Declare the least role of an endpoint; put it below the route's own decorator."""
    return _declare(Access(least, narrows))


def anybody(endpoint: F) -> F:
    """Declare that an endpoint is for people who are not signed in."""
    return _declare(Access(None, narrows=True))(endpoint)


def _declare(access: Access) -> Callable[[F], F]:
    def mark(endpoint: F) -> F:
        endpoint.__dict__["access"] = access
        return endpoint

    return mark


def declared(endpoint: object) -> Access | None:
    """What an endpoint declares; None if nothing, which nobody may call."""
    access = getattr(endpoint, "access", None)
    return access if isinstance(access, Access) else None


def check_access(access: Access | None, caller: Caller | None) -> None:
    """The verdict on a call.

    Raises:
        LamplighterError: NOT_AUTHORISED, ROLE_MISSING or SCOPE_MISSING.
    """
    if access is None:
        raise LamplighterError("ROLE_MISSING", "Nobody may call this: it declares no role.")
    if access.least is None:
        return
    if caller is None:
        raise LamplighterError("NOT_AUTHORISED", "Nobody is signed in.")
    if not caller.role.includes(access.least):
        raise LamplighterError(
            "ROLE_MISSING", f"{caller.actor} is {caller.role}; this needs {access.least}."
        )
    if not access.narrows:
        caller.check_touches({})
