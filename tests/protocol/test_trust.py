from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.protocol.conftest import make_manifest

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import (
    AssignedModel,
    Assignment,
    DirectorKeys,
    Generation,
    HighWater,
    accept_assignment,
    sign_assignment,
)
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import Manifest, decode_manifest, encode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.trust import (
    TOP_LEVEL,
    ModelPolicy,
    SignedTarget,
    TrustView,
    agree_on_release,
    allows_release,
)

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
DIRECTOR = dsse.SoftwareSigner(private := ed25519.Ed25519PrivateKey.generate())
KEYS = DirectorKeys(epoch=2, public_pem=(dsse.public_pem(private.public_key()),))


def assigned(raw: bytes, release: int = 1, variant: str = "onnx-fp32") -> AssignedModel:
    return AssignedModel(
        model="digits",
        release=release,
        manifest=describe(raw),
        variant=variant,
        not_before_utc=NOW,
        deadline_utc=NOW + timedelta(hours=1),
    )


def assignment(**changes: object) -> Assignment:
    fields: dict[str, object] = {
        "device": "pi-1",
        "fleet": "main",
        "generation": Generation(2, 5),
        "issued_utc": NOW,
        "expires_utc": NOW + timedelta(days=1),
        "window_s": 60,
        "models": (assigned(b"manifest"),),
    }
    return Assignment(**{**fields, **changes})  # type: ignore[arg-type]


def accept(raw: bytes, last: HighWater | None = None) -> Assignment:
    return accept_assignment(
        raw, device="pi-1", fleet="main", director=KEYS, last=last, now_utc=NOW
    )


def test_a_signed_assignment_is_accepted_and_so_is_its_redelivery() -> None:
    wanted = assignment()
    raw = sign_assignment(wanted, DIRECTOR)
    assert accept(raw) == wanted
    assert accept(raw, last=HighWater(wanted.generation, sha256(raw))) == wanted


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"device": "pi-2"}, "ASSIGNMENT_FOREIGN"),
        ({"fleet": "other"}, "ASSIGNMENT_FOREIGN"),
        ({"generation": Generation(1, 99)}, "ASSIGNMENT_STALE"),
        ({"generation": Generation(3, 1)}, "ASSIGNMENT_STALE"),
        ({"generation": Generation(2, 4)}, "ASSIGNMENT_STALE"),
        ({"window_s": 61}, "ASSIGNMENT_EQUIVOCAL"),
        ({"generation": Generation(2, 6), "expires_utc": NOW}, "ASSIGNMENT_EXPIRED"),
    ],
)
def test_what_is_not_for_us_now_is_refused(changes: dict[str, object], code: str) -> None:
    raw = sign_assignment(assignment(**changes), DIRECTOR)
    with pytest.raises(LamplighterError) as refused:
        accept(raw, last=HighWater(Generation(2, 5), "0" * 64))
    assert refused.value.code == code


def test_a_strange_director_is_refused() -> None:
    stranger = dsse.SoftwareSigner(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        accept(sign_assignment(assignment(), stranger))


def view(raw: bytes, path: str = "models/digits/1/bundle.json") -> TrustView:
    blob = describe(raw)
    return TrustView(
        root_version=1,
        timestamp_version=1,
        targets_version=1,
        issued_floor_utc=NOW,
        director=KEYS,
        targets={path: SignedTarget(sha256=blob.sha256, size_bytes=blob.size_bytes)},
        expires_utc=dict.fromkeys(TOP_LEVEL, NOW + timedelta(days=1)),
    )


def agree(
    raw: bytes,
    wanted: AssignedModel,
    seen: TrustView,
    *,
    running: int | None = None,
    now_utc: datetime = NOW,
) -> Manifest:
    return agree_on_release(raw, wanted, seen, running=running, machine="aarch64", now_utc=now_utc)


def test_both_sides_agree(manifest: Manifest) -> None:
    raw = encode_manifest(manifest)
    assert agree(raw, assigned(raw), view(raw), running=1) == manifest


Case = tuple[bytes, AssignedModel, TrustView, int | None]


def unsigned(raw: bytes) -> Case:
    return raw, assigned(raw), view(b"another"), None


def other_path(raw: bytes) -> Case:
    return raw, assigned(raw), view(raw, "models/digits/2/bundle.json"), None


def other_bytes(raw: bytes) -> Case:
    return raw + b" ", assigned(raw), view(raw), None


def wrong_release(raw: bytes) -> Case:
    return raw, assigned(raw, release=2), view(raw, "models/digits/2/bundle.json"), None


def downgrade(raw: bytes) -> Case:
    return raw, assigned(raw), view(raw), 2


@pytest.mark.parametrize("case", [unsigned, other_path, other_bytes, wrong_release, downgrade])
def test_one_side_alone_can_run_nothing(manifest: Manifest, case: Callable[[bytes], Case]) -> None:
    raw, wanted, seen, running = case(encode_manifest(manifest))
    with pytest.raises(LamplighterError) as refused:
        agree(raw, wanted, seen, running=running)
    assert refused.value.code == "TRUST_REFUSED"


def test_a_downgrade_that_was_asked_for_is_allowed(manifest: Manifest) -> None:
    raw = encode_manifest(manifest)
    wanted = msgspec.structs.replace(assigned(raw), allow_downgrade=True)
    assert agree(raw, wanted, view(raw), running=2).release == 1


def test_an_unknown_variant_is_refused(manifest: Manifest) -> None:
    raw = encode_manifest(manifest)
    with pytest.raises(LamplighterError, match="VARIANT_UNSUPPORTED"):
        agree(raw, assigned(raw, variant="onnx-int4"), view(raw))


def test_a_bundle_that_needs_more_than_we_have_is_refused() -> None:
    raw = encode_manifest(make_manifest(requires=("classification", "teleport")))
    with pytest.raises(LamplighterError, match="teleport"):
        decode_manifest(raw)


DIGITS = ModelPolicy(model="digits", minimum_release=2)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"policies": {"digits": DIGITS}}, "RELEASE_BELOW_MINIMUM"),
        ({"policies": {"digits": ModelPolicy(model="digits", machines=("x86_64",))}}, "HARDWARE"),
        ({"refused": {"digits": Failure(code="TRUST_EXPIRED", sentence="Late.")}}, "TRUST_EXPIRED"),
        ({"expires_utc": {**dict.fromkeys(TOP_LEVEL, NOW + timedelta(1)), "root": NOW}}, "root"),
    ],
)
def test_what_offline_keys_forbid_is_not_even_a_downgrade(
    manifest: Manifest, changes: dict[str, object], code: str
) -> None:
    raw = encode_manifest(manifest)
    wanted = msgspec.structs.replace(assigned(raw), allow_downgrade=True)
    with pytest.raises(LamplighterError, match=code):
        agree(raw, wanted, msgspec.structs.replace(view(raw), **changes), running=3)


def test_a_policy_speaks_of_its_own_model_only(manifest: Manifest) -> None:
    raw = encode_manifest(manifest)
    other = ModelPolicy(model="cats", minimum_release=9, machines=("z80",))
    fits = ModelPolicy(model="digits", minimum_release=1, machines=("aarch64", "x86_64"))
    seen = msgspec.structs.replace(view(raw), policies={"cats": other, "digits": fits})
    assert agree(raw, assigned(raw), seen) == manifest
    assert allows_release(seen.policies, "digits", 1)
    assert allows_release(seen.policies, "birds", 1)
    assert not allows_release(seen.policies, "cats", 8)


def test_changes_end_with_the_role_that_signs_the_target(manifest: Manifest) -> None:
    raw = encode_manifest(manifest)
    seen = view(raw)
    path, signed = next(iter(seen.targets.items()))
    seen = msgspec.structs.replace(
        seen,
        targets={path: msgspec.structs.replace(signed, roles=("targets", "model-digits"))},
        expires_utc={**seen.expires_utc, "model-digits": NOW + timedelta(hours=1)},
    )
    assert seen.changes_until_utc == NOW + timedelta(days=1)
    assert agree(raw, assigned(raw), seen) == manifest
    with pytest.raises(LamplighterError, match="model-digits"):
        agree(raw, assigned(raw), seen, now_utc=NOW + timedelta(hours=1))
