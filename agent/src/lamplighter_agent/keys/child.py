"""The process that speaks to a token: `python -m lamplighter_agent.keys.child`.

It ends after one answer. A module of some manufacturer may hang or crash, and keeps the PIN in
memory; none of that shall happen to the supervisor. On standard input it reads an Ask, on standard
output it prints an Answer, as JSON.
"""

import os
import sys

import msgspec

from lamplighter_agent.keys import module
from lamplighter_agent.keys.uri import parse_uri
from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of which key."""

    uri: str
    digest: bytes | None
    """The SHA-256 digest to sign; None for the public key, which is made if it is absent."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One of the three."""

    public_pem: str = ""
    signature: bytes = b""
    failure: Failure | None = None


def answer(ask: Ask) -> Answer:
    """Do it."""
    try:
        uri = parse_uri(ask.uri)
        if ask.digest is None:
            return Answer(public_pem=dsse.public_pem(module.provide(uri)))
        return Answer(signature=module.sign(uri, ask.digest))
    except LamplighterError as error:
        return Answer(failure=Failure(code=error.code, sentence=error.sentence))


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a module prints is no answer
        answers.write(
            msgspec.json.encode(answer(msgspec.json.decode(sys.stdin.buffer.read(), type=Ask)))
        )
