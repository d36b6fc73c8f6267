"""What server and agent share."""

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.conformance.fuzz.decoder import (
    DEVICE,
    DEVICE_KEY,
    FLEET,
    NOW_UTC,
    STOLEN,
    THIEF,
    Decoder,
    seed,
    text,
)

from lamplighter_protocol import assignment, dsse, patches, renewal, reported, sealed, telemetry
from lamplighter_protocol.blobs import check_chunk, describe
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.enrolment import (
    Invitation,
    decode_invitation,
    encode_invitation,
)
from lamplighter_protocol.provenance import decode_provenance
from lamplighter_protocol.topics import Topics


def _payload(envelope: bytes) -> bytes:
    return base64.b64decode(json.loads(envelope)["payload"])


_KEYS: Final = assignment.DirectorKeys(epoch=1, public_pem=(dsse.public_pem(STOLEN),))
_DIRECTOR_KEYS: Final = assignment.decode_director_keys(seed("director-keys.json"))
_BLOB: Final = describe(b"m" * 70_000)


def _accept_assignment(raw: bytes, director: assignment.DirectorKeys) -> object:
    return assignment.accept_assignment(
        raw, device=DEVICE, fleet=FLEET, director=director, last=None, now_utc=NOW_UTC
    )


def _accept_reported(raw: bytes, key: dsse.PublicKey) -> object:
    return reported.accept_reported(raw, device=DEVICE, fleet=FLEET, key=key, last_counter=-1)


def _unseal(
    stream: telemetry.Stream, kind: type[msgspec.Struct], *, sealed: bool
) -> Callable[[bytes], object]:
    key = seed("telemetry.key")

    def read(raw: bytes) -> object:
        if not sealed:
            body = msgspec.msgpack.encode(raw)[-len(raw) :] if raw else b""
            head: Any = {"boot": "b", "sequence": 1, "oldest": 1}
            raw = telemetry.seal(msgspec.Raw(body), key=key, device=DEVICE, stream=stream, **head)
        return telemetry.unseal(raw, kind, key=key, device=DEVICE, stream=stream)

    return read


def _window_body() -> bytes:
    return msgspec.msgpack.decode(seed("window.msgpack"), type=telemetry.Sealed).body


_VITALS: Final = msgspec.msgpack.encode(
    telemetry.Vitals(
        at_utc=NOW_UTC,
        cpu_percent=1.0,
        memory_used_mb=1.0,
        disk_free_mb=1.0,
        temperature_c=None,
        uptime_s=1.0,
        supervisor_rss_mb=1.0,
        worker_rss_mb={"digits": 1.0},
        dropped={"window": 0},
    )
)
_EVENT: Final = msgspec.msgpack.encode(telemetry.Event(at_utc=NOW_UTC, kind="phase"))
_ACK: Final = msgspec.msgpack.encode(telemetry.Ack(stored={"window": 7}))
_INVITATION: Final = Invitation(
    url="https://127.0.0.1:1",
    device=DEVICE,
    fleet=FLEET,
    token="t",
    ca_sha256="0" * 64,
    root_sha256="0" * 64,
)


def _decode_packed_invitation(raw: bytes) -> object:
    return decode_invitation("lamp1." + base64.urlsafe_b64encode(raw).decode())


_DEVICE_PUBLIC: Final = dsse.load_public(seed("device-key.pem").decode())
_DEVICE_PRIVATE: Final = dsse.SoftwareSigner(DEVICE_KEY)
_TOPICS: Final = Topics(FLEET)
_OWN_PUBLIC: Final = DEVICE_KEY.public_key()
_RENEWAL: Final = renewal.sign_renewal(
    renewal.RenewalRequest(
        device=DEVICE, fleet=FLEET, tls_key_pem=dsse.public_pem(DEVICE_KEY.public_key())
    ),
    _DEVICE_PRIVATE,
)
_AGREEMENT: Final = X25519PrivateKey.from_private_bytes(b"a" * 32)
_RECIPIENT: Final = sealed.Recipient(
    fleet=FLEET, device=DEVICE, model="digits", release=1, manifest_sha256="0" * 64
)
_CIPHER: Final = sealed.ChunkCipher(b"k" * 32, "0" * 64, 100)


_OLD, _NEW = b"old " * 500, b"new " * 500


def _apply_patch(kind: assignment.PatchKind, raw: bytes) -> object:
    return b"".join(patches.apply(kind, raw, b"" if kind == "zstd" else _OLD, len(_NEW)))


OF_PROTOCOL: Final[dict[str, Decoder]] = {
    "dsse": Decoder(
        lambda raw: dsse.verify(raw, assignment.PAYLOAD_TYPE, _DIRECTOR_KEYS.keys()),
        (seed("assignment.dsse.json"),),
    ),
    "public-key": Decoder(
        lambda raw: dsse.load_public(text(raw)),
        (seed("device-key.pem"), dsse.public_pem(STOLEN).encode()),
    ),
    "assignment": Decoder(
        lambda raw: _accept_assignment(raw, _DIRECTOR_KEYS),
        (seed("assignment.dsse.json"),),
    ),
    "assignment-of-a-thief": Decoder(
        lambda raw: _accept_assignment(dsse.sign(assignment.PAYLOAD_TYPE, raw, THIEF), _KEYS),
        (_payload(seed("assignment.dsse.json")),),
    ),
    "director-keys": Decoder(assignment.decode_director_keys, (seed("director-keys.json"),)),
    "manifest": Decoder(decode_manifest, (seed("bundle.json"),)),
    "chunk": Decoder(lambda raw: check_chunk(_BLOB, 1, raw), (b"m" * 4464,)),
    "report": Decoder(
        lambda raw: _accept_reported(raw, _DEVICE_PUBLIC), (seed("reported.dsse.json"),)
    ),
    "report-of-a-thief": Decoder(
        lambda raw: _accept_reported(
            dsse.sign(reported.PAYLOAD_TYPE, raw, _DEVICE_PRIVATE), DEVICE_KEY.public_key()
        ),
        (_payload(seed("reported.dsse.json")),),
    ),
    "window": Decoder(_unseal("window", telemetry.Window, sealed=True), (seed("window.msgpack"),)),
    "window-of-a-thief": Decoder(
        _unseal("window", telemetry.Window, sealed=False), (_window_body(),)
    ),
    "vitals-of-a-thief": Decoder(_unseal("vitals", telemetry.Vitals, sealed=False), (_VITALS,)),
    "event-of-a-thief": Decoder(_unseal("event", telemetry.Event, sealed=False), (_EVENT,)),
    "ack-of-a-thief": Decoder(_unseal("ack", telemetry.Ack, sealed=False), (_ACK,)),
    "invitation": Decoder(
        lambda raw: decode_invitation(text(raw)), (encode_invitation(_INVITATION).encode(),)
    ),
    "invitation-packed": Decoder(_decode_packed_invitation, (msgspec.msgpack.encode(_INVITATION),)),
    "topic-device": Decoder(
        lambda raw: _TOPICS.parse_device(text(raw)), (b"lamp/1/main/d/pi-1/cmd/7/result",)
    ),
    "topic-chunk": Decoder(
        lambda raw: _TOPICS.parse_chunk(text(raw)), (f"lamp/1/main/blob/{'0' * 64}/7".encode(),)
    ),
    "topic-trust": Decoder(
        lambda raw: _TOPICS.parse_trust(text(raw)), (b"lamp/1/main/trust/1.root.json",)
    ),
    "renewal": Decoder(
        lambda raw: renewal.accept_renewal(raw, device=DEVICE, fleet=FLEET, key=_OWN_PUBLIC),
        (_RENEWAL,),
    ),
    "renewal-of-a-thief": Decoder(
        lambda raw: renewal.accept_renewal(
            dsse.sign(renewal.PAYLOAD_TYPE, raw, _DEVICE_PRIVATE),
            device=DEVICE,
            fleet=FLEET,
            key=_OWN_PUBLIC,
        ),
        (_payload(_RENEWAL),),
    ),
    "renewal-unverified": Decoder(renewal.claimed_device, (_RENEWAL,)),
    "renewal-reply": Decoder(renewal.read_reply, (b'{"certificate_pem":"c","failure":null}',)),
    "wrapped-key": Decoder(
        lambda raw: sealed.unwrap_key(raw, _AGREEMENT, _RECIPIENT),
        (sealed.wrap_key(b"k" * 32, _AGREEMENT.public_key().public_bytes_raw(), _RECIPIENT),),
    ),
    "sealed-chunk": Decoder(
        lambda raw: _CIPHER.open(0, raw),
        (_CIPHER.seal(0, b"m" * 100),),
    ),
    **{
        f"patch-{kind}": Decoder(
            partial(_apply_patch, kind),
            (patches.make(kind, _NEW, b"" if kind == "zstd" else _OLD),),
        )
        for kind in assignment.PATCHES
    },
    "provenance": Decoder(
        decode_provenance,
        (
            (
                b'{"format":1,"device":"pi-1","fleet":"main","roots":["AA=="],"targets":"AA==",'
                b'"delegated":{},"director_keys":"AA==","assignment":"AA==","report":"AA==",'
                b'"certificate_pem":"","ca_pem":"","releases":[{"model":"digits","manifest":"AA==",'
                b'"evidence":null}]}'
            ),
        ),
    ),
}
