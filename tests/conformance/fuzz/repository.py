"""A small TUF repository all of whose keys were stolen."""

import json
from typing import Final

from securesystemslib.formats import encode_canonical
from tests.agent.tuf_repository import Repository

REPOSITORY: Final = Repository()
REPOSITORY.add("digits", 1, b"manifest")
REPOSITORY.set_policy("digits", minimum_release=1, machines=["x86_64"])
REPOSITORY.delegate("model-digits", "models/digits/*", "models/digits/*/*")
REPOSITORY.add("digits", 2, b"manifest", role="model-digits")
REPOSITORY.publish()


def published(role: str) -> str:
    return next(
        name for name in sorted(REPOSITORY.files, reverse=True) if name.endswith(f"{role}.json")
    )


def sign_again(raw: bytes, role: str) -> bytes:
    """Sign whatever the metadata says now; what cannot be signed stays as it is."""
    try:
        signed = json.loads(raw)["signed"]
        body = str(encode_canonical(signed)).encode()
        signature = REPOSITORY.signers[role][0].sign(body).to_dict()
        keyid = REPOSITORY.signers[role][0].public_key.keyid
        return json.dumps(
            {"signatures": [{"keyid": keyid, **signature}], "signed": signed}
        ).encode()
    except Exception:  # noqa: BLE001 - not the code under test
        return raw


def tuf_seed(role: str) -> bytes:
    if role != "root":
        return REPOSITORY.files[published(role)]
    document = json.loads(REPOSITORY.root_bytes)
    document["signed"]["version"] = 2
    return sign_again(json.dumps(document).encode(), "root")


def next_version(raw: bytes, role: str) -> bytes:
    document = json.loads(raw)
    document["signed"]["version"] += 1
    return sign_again(json.dumps(document).encode(), role)
