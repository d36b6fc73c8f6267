"""A stolen server, or whoever carries a case, against the person who signs."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.attacks.refusal import refused
from tests.server.publishing.conftest import EVIDENCE, PASSPHRASE, make_bundle
from tests.server.publishing.test_lying_server import (
    FILES,
    STRANGER,
    Liar,
    forged,
    refusal,
    rewritten,
)

from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_server.publishing.client import init_keys, publish_release
from lamplighter_server.publishing.draft import Draft
from lamplighter_server.publishing.exchange import fetch
from lamplighter_server.publishing.holder import Holder
from lamplighter_server.publishing.keys import KeyRing


def altered(signed: dict[str, Any]) -> None:
    signed["targets"]["models/digits/1/bundle.json"]["length"] = 1


def test_a_server_that_lies_to_the_signer(liar: Liar, established: Path) -> None:
    """It shows altered targets, so that the next signature would cover them."""
    publish_release(liar, established, PASSPHRASE, make_bundle(), EVIDENCE)
    liar.files["targets.json"] = rewritten(liar.get_bytes(f"{FILES}targets.json"), altered)
    assert refusal(liar, established) == "SIGNATURE_INVALID"


def test_a_server_that_goes_back_to_former_targets(liar: Liar, established: Path) -> None:
    old = liar.get_bytes(f"{FILES}targets.json")
    publish_release(liar, established, PASSPHRASE, make_bundle(), EVIDENCE)
    liar.files["targets.json"] = old
    assert refusal(liar, established) == "TRUST_REFUSED"


def test_a_server_with_another_root(liar: Liar, established: Path) -> None:
    lie = forged(established)
    liar.files = {"root.json": lie["root"], "1.root.json": lie["root"]}
    liar.files["targets.json"] = lie["targets"]
    assert refusal(liar, established, 1) == "TRUST_REFUSED"


def test_a_key_under_the_id_of_another(liar: Liar, folder: Path) -> None:
    honest = liar.get("/api/v1/trust/online-keys")["snapshot"]
    liar.online = {"snapshot": {**STRANGER.public_key.to_dict(), "keyid": honest["keyid"]}}
    with refused("TRUST_REFUSED"):
        init_keys(liar, folder, PASSPHRASE)
    assert not KeyRing(folder).keyids
    assert liar.taken == []


@pytest.mark.parametrize(
    "change",
    [
        lambda draft: draft.direct(DirectorKeys(epoch=9, public_pem=())),
        lambda draft: draft.targets().targets.clear(),
        lambda draft: setattr(draft.targets(), "version", 7),
        lambda draft: setattr(draft.root.roles["root"], "threshold", 2),
    ],
    ids=["epoch", "cleared", "version", "threshold"],
)
def test_a_carried_case_that_breaks_a_rule(
    liar: Liar, established: Path, change: Callable[[Draft], None]
) -> None:
    from lamplighter_server.publishing.case import Case

    case = fetch(liar)
    draft = Draft(case.current, datetime.now(UTC))
    change(draft)
    with refused("TRUST_REFUSED"):
        Holder(established).look_at(Case(case.roots, case.current, draft.done(), dict(case.files)))


def test_the_passphrase_of_somebody_else(liar: Liar, established: Path) -> None:
    with refused("PASSPHRASE_WRONG"):
        publish_release(liar, established, "guess", make_bundle(), EVIDENCE)
    assert liar.taken == []
