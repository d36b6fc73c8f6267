"""Whoever holds the broker or the director's key, against one device's assignment."""

import platform
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from tests.agent.app.test_desired import DAY, NEW, NEW_PEM, NOW, OLD, Device, envelope, view
from tests.conformance.attacks.refusal import refused
from tests.protocol.conftest import make_manifest

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import PAYLOAD_TYPE, AssignedModel, Generation
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import encode_manifest
from lamplighter_protocol.names import manifest_target
from lamplighter_protocol.reported import PAYLOAD_TYPE as REPORTED
from lamplighter_protocol.trust import ModelPolicy, SignedTarget, TrustView, agree_on_release

MANIFEST = encode_manifest(make_manifest(release=2))
BLOB = describe(MANIFEST)
WANTED = AssignedModel(
    model="digits",
    release=2,
    manifest=BLOB,
    variant="onnx-fp32",
    not_before_utc=NOW,
    deadline_utc=NOW + DAY,
)
SIGNED = SignedTarget(sha256=BLOB.sha256, size_bytes=BLOB.size_bytes)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    device = Device(tmp_path)
    device.offer(envelope(5), view())
    return device


def still_obeys(device: Device, raw: bytes, code: str, seen: TrustView | None = None) -> None:
    """The statement is refused with this code, and the one before it stays in force."""
    seen = seen or view()
    assert device.offer(raw, seen) == (Generation(1, 5), [code])
    device.restart()
    assert device.in_force(seen) == Generation(1, 5)


def test_an_assignment_for_another_device(device: Device) -> None:
    still_obeys(device, envelope(6, device="pi-2"), "ASSIGNMENT_FOREIGN")


def test_a_replayed_assignment(device: Device) -> None:
    still_obeys(device, envelope(4), "ASSIGNMENT_STALE")


def test_a_replayed_assignment_after_the_journal_was_lost(device: Device) -> None:
    device.lose_journal()
    device.restart()
    assert device.offer(envelope(4), view()) == (None, ["ASSIGNMENT_STALE"])


def test_two_statements_under_one_number(device: Device) -> None:
    still_obeys(device, envelope(5, window_s=61), "ASSIGNMENT_EQUIVOCAL")


def test_a_director_that_no_offline_key_named(device: Device) -> None:
    still_obeys(device, envelope(6, signer=NEW), "SIGNATURE_INVALID")


@pytest.mark.parametrize("counter", [2**63, 2**64, 10**40])
def test_a_generation_of_two_to_the_63(device: Device, counter: int) -> None:
    payload = dsse.verify(envelope(6), PAYLOAD_TYPE, view().director.keys())
    forged = payload.replace(b'"counter":6', b'"counter":%d' % counter)
    assert forged != payload
    still_obeys(device, dsse.sign(PAYLOAD_TYPE, forged, OLD), "MESSAGE_MALFORMED")


def test_the_highest_generation_locks_nobody_out(device: Device) -> None:
    device.offer(envelope(2**53 - 1), view())
    rotated = view(epoch=2, pem=NEW_PEM)
    told = device.offer(envelope(2**53 - 1, epoch=1), rotated)
    assert told == (None, ["SIGNATURE_INVALID"])
    assert device.offer(envelope(1, epoch=2, signer=NEW), rotated) == (Generation(2, 1), [])


def test_a_stolen_director_key_after_its_rotation(device: Device) -> None:
    rotated = view(epoch=2, pem=NEW_PEM)
    told = device.offer(envelope(6, epoch=2, signer=OLD), rotated)
    assert told == (None, ["SIGNATURE_INVALID"])


def test_an_assignment_of_the_former_epoch(device: Device) -> None:
    """Also where the new epoch keeps the key: its number decides."""
    assert device.offer(envelope(7), view(epoch=2)) == (None, ["ASSIGNMENT_STALE"])


def test_an_assignment_held_back_until_it_expired(device: Device) -> None:
    still_obeys(device, envelope(6, issued_utc=NOW - 91 * DAY), "ASSIGNMENT_EXPIRED")


def test_a_report_passed_off_as_an_assignment(device: Device) -> None:
    payload = dsse.verify(envelope(6), PAYLOAD_TYPE, view().director.keys())
    still_obeys(device, dsse.sign(REPORTED, payload, OLD), "SIGNATURE_INVALID")


def seen(**changes: object) -> TrustView:
    targets = {manifest_target("digits", 2): SIGNED}
    return msgspec.structs.replace(view(), **{"targets": targets, **changes})


def judge(
    view: TrustView,
    *,
    wanted: AssignedModel = WANTED,
    raw: bytes = MANIFEST,
    running: int | None = None,
    now_utc: datetime = NOW,
) -> None:
    agree_on_release(
        raw, wanted, view, running=running, machine=platform.machine(), now_utc=now_utc
    )


def test_what_both_keys_agree_on_runs() -> None:
    judge(seen(), running=1)


def test_a_release_that_only_the_director_named() -> None:
    with refused("TRUST_REFUSED"):
        judge(seen(targets={}))


def test_other_bytes_under_a_signed_name() -> None:
    other = encode_manifest(make_manifest(release=2, requires=()))
    with refused("TRUST_REFUSED"):
        judge(seen(), wanted=msgspec.structs.replace(WANTED, manifest=describe(other)), raw=other)


def test_a_signed_manifest_under_the_name_of_another_release() -> None:
    targets = {manifest_target("digits", 3): SIGNED}
    with refused("TRUST_REFUSED"):
        judge(seen(targets=targets), wanted=msgspec.structs.replace(WANTED, release=3))


def test_a_downgrade_that_nobody_asked_for() -> None:
    with refused("TRUST_REFUSED"):
        judge(seen(), running=3)


def test_a_downgrade_below_the_signed_minimum() -> None:
    policy = ModelPolicy(model="digits", minimum_release=3)
    asked_for = msgspec.structs.replace(WANTED, allow_downgrade=True)
    with refused("RELEASE_BELOW_MINIMUM"):
        judge(seen(policies={"digits": policy}), wanted=asked_for, running=4)


def test_a_model_on_hardware_that_offline_keys_forbid() -> None:
    policy = ModelPolicy(model="digits", machines=("z80",))
    with refused("HARDWARE_FORBIDDEN"):
        judge(seen(policies={"digits": policy}))


def test_a_variant_that_the_bundle_does_not_hold() -> None:
    with refused("VARIANT_UNSUPPORTED"):
        judge(seen(), wanted=msgspec.structs.replace(WANTED, variant="onnx-int4"))


def test_a_change_after_the_metadata_expired() -> None:
    with refused("TRUST_EXPIRED"):
        judge(seen(), now_utc=NOW + 8 * DAY)


def test_a_model_assigned_twice(device: Device) -> None:
    """Of two statements on one model the device would have to choose one."""
    payload = dsse.verify(envelope(6), PAYLOAD_TYPE, view().director.keys())
    model = (
        b'{"allow_downgrade":false,"deadline_utc":"2026-06-02T00:00:00Z","manifest":'
        b'{"chunk_sha256":[],"sha256":"%b","size_bytes":0},"mode":"active","model":"digits",'
        b'"not_before_utc":"2026-06-01T00:00:00Z","release":1,"rollout":null,"variant":"x"}'
    ) % (b"0" * 64)
    forged = payload.replace(b'"models":[]', b'"models":[%b,%b]' % (model, model))
    assert forged != payload
    still_obeys(device, dsse.sign(PAYLOAD_TYPE, forged, OLD), "MESSAGE_MALFORMED")
