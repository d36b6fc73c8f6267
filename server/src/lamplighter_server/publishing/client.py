"""Publishing through the server's API. Nothing leaves this machine before the keys are open."""

from dataclasses import dataclass
from pathlib import Path

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing import steps
from lamplighter_server.publishing.case import Case
from lamplighter_server.publishing.exchange import ServerKeys, fetch, read_server_keys, submit
from lamplighter_server.publishing.holder import Holder, Proposal
from lamplighter_server.publishing.signers import Secrets
from lamplighter_server.publishing.steps import ONE_KEY, KeyPlan
from lamplighter_server.trust.roles import (
    ROOT,
    TARGETS,
    Roles,
    read_root,
    read_targets,
)

#: After these the server may yet take the same case.
_TRY_AGAIN = frozenset({"SERVER_UNREACHABLE", "NOT_AUTHORISED"})


@dataclass(frozen=True)
class Published:
    """A release that the server has accepted."""

    model: str
    release: int
    manifest_sha256: str
    size_bytes: int


def begin(api: Api, holder: Holder, *retired: str) -> Case:
    """What is in force, after what was signed before has been sent.

    Raises:
        LamplighterError: SIGNATURES_MISSING if an earlier case waits for other holders, and what
            `exchange.fetch` and `send` raise.
    """
    case = fetch(api, *retired)
    holder.state.reconcile(case.current)
    if (pending := holder.state.pending) is None:
        return case
    send(api, holder, holder.look_at(pending))
    return fetch(api, *retired)


def send(api: Api, holder: Holder, proposal: Proposal) -> None:
    """Send a signed case; it is kept while an answer may be lost or signatures are missing.

    Raises:
        LamplighterError: SIGNATURES_MISSING, or what the server refuses with.
    """
    case = proposal.case
    if proposal.verdict.missing:
        lacking = "; ".join(map(str, proposal.verdict.missing))
        raise LamplighterError("SIGNATURES_MISSING", f"The case is kept: {lacking}.")
    try:
        submit(api, case)
    except LamplighterError as error:
        if error.code not in _TRY_AGAIN:
            holder.state.drop()
        raise
    after = {**case.current, **case.proposed}
    holder.state.adopt(after)
    holder.state.drop()
    holder.ring.retire(_keyids(case.current) - _keyids(after))


def conclude(api: Api, holder: Holder, proposal: Proposal, secrets: Secrets) -> None:
    """Sign what was shown and send it.

    Raises:
        LamplighterError: As `Holder.sign` and `send`.
    """
    send(api, holder, holder.look_at(holder.sign(proposal, secrets)))


def meet_server(api: Api, folder: Path) -> ServerKeys | None:
    """What a new server says about itself; None if it has taken our first root in the meantime.

    Raises:
        LamplighterError: CONFLICT if trust is established here or the server has another root, and
            what `begin` raises.
    """
    holder = Holder(folder)
    if holder.state.own:
        raise LamplighterError(
            "CONFLICT", f"There are keys in {folder} already, and they are used."
        )
    case = begin(api, holder)
    if holder.state.own:
        return None
    if case.current:
        raise LamplighterError("CONFLICT", "This server already has another TUF root.")
    return read_server_keys(api)


def init_keys(
    api: Api, folder: Path, passphrase: str, *, root: KeyPlan = ONE_KEY, targets: KeyPlan = ONE_KEY
) -> None:
    """Make the offline keys, sign the first root and targets, and hand them to the server.

    After a failure it can be repeated: it goes on with the keys, and with what was signed if the
    server may have it.

    Raises:
        LamplighterError: CONFLICT if trust is established here or the server has another root,
            PASSPHRASE_WRONG, SIGNATURES_MISSING, SERVER_UNREACHABLE.
    """
    server = meet_server(api, folder)
    if server is not None:
        holder, secrets = Holder(folder), always(passphrase)
        proposal = steps.establish(holder, server, root, targets, secrets)
        conclude(api, holder, proposal, secrets)


def next_release(api: Api, model: str) -> int:
    """The number that the model's next release will have."""
    try:
        releases = api.get(f"/api/v1/models/{model}")["releases"]
    except LamplighterError as error:
        if error.code != "NOT_FOUND":
            raise
        return 1
    return 1 + max(int(item["release"]) for item in releases)


def propose_release(api: Api, holder: Holder, bundle: Bundle, evidence: bytes) -> Proposal | None:
    """Say what is to be signed; no key is opened. None if the release is published already.

    Raises:
        LamplighterError: TRUST_REFUSED if a file is not what the manifest says, or the server is
            behind what was signed last here; RELEASE_IMMUTABLE, SIGNATURES_MISSING,
            SERVER_UNREACHABLE.
    """
    steps.check_bundle(bundle)
    return steps.release(holder, begin(api, holder), bundle, evidence)


def publish_release(
    api: Api, folder: Path, passphrase: str, bundle: Bundle, evidence: bytes
) -> Published:
    """Propose and publish in one step, for programs. Repeating it is harmless.

    Raises:
        LamplighterError: As `propose_release` and `conclude`; TRUST_REFUSED if others have signed
            something since: a person must see it first.
    """
    holder = Holder(folder)
    proposal = propose_release(api, holder, bundle, evidence)
    if proposal is not None:
        if proposal.verdict.unseen:
            raise LamplighterError(
                "TRUST_REFUSED",
                "The server's targets are not the ones that were signed last with these keys.",
            )
        conclude(api, holder, proposal, always(passphrase))
    return describe_release(bundle)


def describe_release(bundle: Bundle) -> Published:
    """A release as it was published."""
    return Published(
        model=bundle.manifest.model,
        release=bundle.manifest.release,
        manifest_sha256=bundle.sha256,
        size_bytes=bundle.size_bytes,
    )


def always(passphrase: str) -> Secrets:
    """Answers every question for a secret in the same way."""
    return lambda _: passphrase


def _keyids(roles: Roles) -> set[str]:
    """Every key that holds an offline role."""
    if not roles:
        return set()
    delegated = read_targets(roles[TARGETS]).signed.delegations
    return {*read_root(roles[ROOT]).signed.keys, *(delegated.keys if delegated else ())}
