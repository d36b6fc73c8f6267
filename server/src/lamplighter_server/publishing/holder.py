"""One holder of keys at one folder: judges, signs and remembers, with or without a network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.publishing.case import Case
from lamplighter_server.publishing.judge import Verdict, judge, sign_case
from lamplighter_server.publishing.keys import KeyRing
from lamplighter_server.publishing.signers import Secrets
from lamplighter_server.publishing.state import SignedState
from lamplighter_server.trust.roles import Roles


@dataclass(frozen=True)
class Proposal:
    """A case and the verdict on it, to be shown before anything is opened."""

    case: Case
    verdict: Verdict

    @property
    def changes(self) -> tuple[str, ...]:
        """In words, what a signature would add."""
        return self.verdict.changes


class Holder:
    """The keys in a folder and what they have signed."""

    def __init__(self, folder: Path) -> None:
        self.ring = KeyRing(folder)
        self.state = SignedState(folder)

    def propose(self, case: Case, roles: Roles, contents: Mapping[str, bytes]) -> Proposal:
        """A step from what is in force, judged.

        Args:
            case: What is in force.
            roles: The next version of some roles.
            contents: What they newly name, under any names.

        Raises:
            LamplighterError: As `judge.judge`.
        """
        files = {**case.files, **{sha256(raw): raw for raw in contents.values()}}
        return self.look_at(replace(case, proposed=roles, files=files))

    def look_at(self, case: Case) -> Proposal:
        """The verdict on a case that may come from anywhere.

        Raises:
            LamplighterError: As `judge.judge`.
        """
        self.state.reconcile(case.current)
        now_utc = datetime.now(UTC)
        return Proposal(case, judge(self.state.own, case, self.ring.keyids, now_utc=now_utc))

    def sign(self, proposal: Proposal, secrets: Secrets) -> Case:
        """Sign what was shown, with every key that is here, and keep it.

        Raises:
            LamplighterError: PASSPHRASE_WRONG, KEY_MISSING, TRUST_REFUSED, SIGNER_UNAVAILABLE;
                CONFLICT if another case waits for signatures.
        """
        pending = self.state.pending
        if pending is not None and not pending.proposes_the_same_as(proposal.case):
            raise LamplighterError(
                "CONFLICT",
                "Another case waits for signatures here; 'lamplighter keys drop' gives it up.",
            )
        keyids = frozenset[str]().union(*proposal.verdict.signers.values())
        signed = sign_case(proposal.case, proposal.verdict, self.ring.open(keyids, secrets))
        self.state.adopt(proposal.case.current)  # it was shown, all of it
        self.state.keep(signed)
        return signed
