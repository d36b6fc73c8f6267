"""Every decoder that reads bytes from outside: how it is called, and what it usually reads.

Where a signature or a MAC stands before the decoder, the bytes are signed here: then the thief of
that key is the one who sends them.
"""

import base64
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID
from securesystemslib.formats import encode_canonical
from tests.agent.tuf_repository import Repository

from lamplighter_agent.app.status import read_status
from lamplighter_agent.core.state import ModelState
from lamplighter_agent.ports import worker as port
from lamplighter_agent.runtime.golden import read_golden
from lamplighter_agent.serve import oip
from lamplighter_agent.store.high_water import HighWaterFile
from lamplighter_agent.store.identity import Enrolment, load_identity, new_key, save_identity
from lamplighter_agent.store.journal import Document, Journal
from lamplighter_agent.store.outbox import Outbox
from lamplighter_agent.trust.client import Client
from lamplighter_agent.trust.floor import FLOOR, raise_floor, read_floor
from lamplighter_agent.trust.models import read_models
from lamplighter_agent.trust.policies import decode_policies
from lamplighter_agent.trust.refresh import Trust, TrustDirs
from lamplighter_protocol import assignment, dsse, reported, telemetry
from lamplighter_protocol.blobs import check_chunk, describe
from lamplighter_protocol.bundle import TensorSpec, decode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.enrolment import (
    EnrolmentRequest,
    Invitation,
    decode_invitation,
    encode_invitation,
)
from lamplighter_protocol.provenance import decode_provenance
from lamplighter_protocol.reported import Inventory
from lamplighter_protocol.topics import Topics
from lamplighter_server.audit import chain, exported
from lamplighter_server.devices.door import read_enrolment
from lamplighter_server.devices.models import Device
from lamplighter_server.devices.service import set_presence
from lamplighter_server.pki.certificates import build_authority, read_request
from lamplighter_server.pki.judge import read_certificate
from lamplighter_server.publishing.case import Case, read_case, write_case
from lamplighter_server.rollouts.policy import read_policy
from lamplighter_server.trust.roles import check_key, read_targets
from lamplighter_server.trust.verify import accept

CORPUS: Final = Path(__file__).parents[2] / "corpus" / "0.1.0"
NOW_UTC: Final = datetime(2026, 11, 23, tzinfo=timezone.utc)
DEVICE, FLEET = "pi-1", "main"


@dataclass(frozen=True)
class Decoder:
    """One way in.

    Attributes:
        read: Called with hostile bytes; a LamplighterError is the only thing it may raise.
        seeds: What it usually reads.
        expected: What else its documented contract lets it raise.
    """

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    expected: tuple[type[Exception], ...] = field(default=())


def _seed(name: str) -> bytes:
    return (CORPUS / name).read_bytes()


def _payload(envelope: bytes) -> bytes:
    return base64.b64decode(json.loads(envelope)["payload"])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


_DIRECTOR: Final = dsse.SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes(b"d" * 32))
_STOLEN: Final = ed25519.Ed25519PrivateKey.from_private_bytes(b"d" * 32).public_key()
_KEYS: Final = assignment.DirectorKeys(epoch=1, public_pem=(dsse.public_pem(_STOLEN),))
_DIRECTOR_KEYS: Final = assignment.decode_director_keys(_seed("director-keys.json"))
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
    key = _seed("telemetry.key")

    def read(raw: bytes) -> object:
        if not sealed:
            body = msgspec.msgpack.encode(raw)[-len(raw) :] if raw else b""
            head: Any = {"boot": "b", "sequence": 1, "oldest": 1}
            raw = telemetry.seal(msgspec.Raw(body), key=key, device=DEVICE, stream=stream, **head)
        return telemetry.unseal(raw, kind, key=key, device=DEVICE, stream=stream)

    return read


def _window_body() -> bytes:
    return msgspec.msgpack.decode(_seed("window.msgpack"), type=telemetry.Sealed).body


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


_REPOSITORY: Final = Repository()
_REPOSITORY.add("digits", 1, b"manifest")
_REPOSITORY.set_policy("digits", minimum_release=1, machines=["x86_64"])
_REPOSITORY.delegate("model-digits", "models/digits/*", "models/digits/*/*")
_REPOSITORY.add("digits", 2, b"manifest", role="model-digits")
_REPOSITORY.publish()


def _published(role: str) -> str:
    return next(
        name for name in sorted(_REPOSITORY.files, reverse=True) if name.endswith(f"{role}.json")
    )


def _sign_again(raw: bytes, role: str) -> bytes:
    """Sign whatever the metadata says now; what cannot be signed stays as it is."""
    try:
        signed = json.loads(raw)["signed"]
        body = str(encode_canonical(signed)).encode()
        signature = _REPOSITORY.signers[role][0].sign(body).to_dict()
        keyid = _REPOSITORY.signers[role][0].public_key.keyid
        return json.dumps(
            {"signatures": [{"keyid": keyid, **signature}], "signed": signed}
        ).encode()
    except Exception:  # noqa: BLE001 - not the code under test
        return raw


def _refresh_tuf(role: str, *, signed: bool) -> Callable[[bytes], object]:
    name = "2.root.json" if role == "root" else _published(role)

    def read(raw: bytes) -> object:
        files = {**_REPOSITORY.files, name: _sign_again(raw, role) if signed else raw}
        pinned = {"root.json": _REPOSITORY.root_bytes}
        client = Client(pinned, lambda name, _: files.get(name), NOW_UTC)
        client.refresh()
        raise_floor(NOW_UTC, client.timestamp, NOW_UTC)
        return read_models(client)

    return read


def _tuf_seed(role: str) -> bytes:
    if role != "root":
        return _REPOSITORY.files[_published(role)]
    document = json.loads(_REPOSITORY.root_bytes)
    document["signed"]["version"] = 2
    return _sign_again(json.dumps(document).encode(), "root")


def _accept_offline(role: str, *, signed: bool) -> Callable[[bytes], object]:
    targets = _REPOSITORY.files[_published(".targets")]
    delegated = _REPOSITORY.files[_published("model-digits")]
    former = {"root": _REPOSITORY.root_bytes, "targets": targets, "model-digits": delegated}

    def read(raw: bytes) -> object:
        offered = _sign_again(raw, role) if signed else raw
        return accept(former, {role: offered}, now_utc=NOW_UTC)

    return read


def _next_version(raw: bytes, role: str) -> bytes:
    document = json.loads(raw)
    document["signed"]["version"] += 1
    return _sign_again(json.dumps(document).encode(), role)


def _check_keys(raw: bytes) -> None:
    signed = read_targets(raw).signed
    for key in signed.delegations.keys.values() if signed.delegations else ():
        check_key(key)


def _in_file(read: Callable[[Path], object], name: str = "file") -> Callable[[bytes], object]:
    """A reader of a path, given a file with the bytes in a folder of its own."""

    def read_bytes(raw: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(raw)
            return read(path)

    return read_bytes


def _open_outbox(path: Path) -> None:
    outbox = Outbox(path, boot="b", max_bytes=1000)
    try:
        outbox.put("event", telemetry.Event(at_utc=NOW_UTC, kind="started"))
        for stream in ("window", "vitals", "event"):
            outbox.oldest(stream)
            outbox.waiting(stream, 0, 10)
    finally:
        outbox.close()


def _outbox_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _open_outbox(Path(folder) / "outbox")
        return (Path(folder) / "outbox").read_bytes()


def _identity(name: str) -> tuple[Callable[[bytes], object], bytes]:
    """Read an identity of which one file is not what it was; and that file."""
    enrolment = Enrolment(
        device=DEVICE, fleet=FLEET, url="https://x", broker_host="x", broker_port=1
    )

    def read(raw: bytes | None) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            identity = save_identity(
                Path(folder) / "identity",
                enrolment,
                key=_DEVICE_KEY,
                certificate_pem="c",
                ca_pem="c",
                root_json=b"{}",
                telemetry_key=b"k" * 32,
                agreement=_AGREEMENT,
            )
            if raw is not None:
                (identity.directory / name).write_bytes(raw)
            load_identity(identity.directory)
            return (identity.directory / name).read_bytes()

    return read, read(None)


_DEVICE_KEY: Final = new_key()
_AGREEMENT: Final = X25519PrivateKey.generate()


def _take_trust(raw: bytes) -> None:
    """The first line is the name, the rest the file."""
    name, _, payload = raw.partition(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        trust = Trust(TrustDirs(root / "store", root / "inbox", root / "root.json"))
        trust.take(_text(name), payload)
        trust.is_due()


def _infer(raw: bytes) -> object:
    """Plain JSON; or, after four bytes that are its length, JSON with binary tensors."""
    inputs = (
        TensorSpec(name="a", datatype="FP32", shape=(-1, 2)),
        TensorSpec(name="b", datatype="INT64", shape=(-1,)),
    )
    outputs = (TensorSpec(name="label", datatype="INT64", shape=(-1,)),)
    if raw[:1] != b"{":
        return oip.read_request(raw[4:], int.from_bytes(raw[:4], "big"), inputs, outputs)
    return oip.read_request(raw, None, inputs, outputs)


def _tensors(**of_each: Any) -> dict[str, Any]:
    first = {"name": "a", "shape": [1, 2], "datatype": "FP32", **of_each.get("a", {})}
    second = {"name": "b", "shape": [1], "datatype": "INT64", **of_each.get("b", {})}
    return {"inputs": [first, second], "outputs": [{"name": "label"}], "id": "1"}


_JSON_CALL: Final = json.dumps(_tensors(a={"data": [[0.5, 1]]}, b={"data": [7]})).encode()
_HEAD: Final = json.dumps(
    _tensors(a={"parameters": {"binary_data_size": 8}}, b={"parameters": {"binary_data_size": 8}})
).encode()
_BINARY_CALL: Final = len(_HEAD).to_bytes(4, "big") + _HEAD + b"\x00" * 16


def _signing_request() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVICE)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def _certificate() -> bytes:
    return build_authority(_DEVICE_KEY, NOW_UTC).public_bytes(serialization.Encoding.PEM)


def _enrolment_request() -> bytes:
    return msgspec.json.encode(
        EnrolmentRequest(
            device=DEVICE,
            token="t",
            csr_pem=_text(_signing_request()),
            agreement_public=b"k" * 32,
            inventory=Inventory(
                machine="x", runtimes={}, ram_mb=1, python="3", agent_version="1", system="x"
            ),
        )
    )


def _case_file() -> bytes:
    files = _REPOSITORY.files
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case"
        targets = files[_published(".targets")]
        write_case(
            path,
            Case(
                roots=(files["1.root.json"],),
                current={"targets": targets},
                proposed={"targets": targets},
                files={sha256(b"x"): b"x"},
            ),
        )
        return path.read_bytes()


def _read_log(raw: bytes) -> None:
    export = exported.read_log(raw.splitlines(keepends=True))
    chain.verify(export.lines, export.heads)


def _log_file() -> bytes:
    public = ed25519.Ed25519PrivateKey.from_private_bytes(b"d" * 32).public_key()
    entries = [chain.Entry("user:a", "create", "device/x", None, {"labels": {"site": "a"}})] * 2
    lines = list(chain.extend(chain.START, entries, NOW_UTC))
    head = chain.Head(fleet=FLEET, sequence=2, sha256=lines[-1].sha256, at_utc=NOW_UTC)
    log = exported.Log(fleet=FLEET, public_pem=dsse.public_pem(public))
    rows = [
        exported.Row(log=log),
        exported.Row(head=msgspec.Raw(chain.sign_head(head, _DIRECTOR))),
        *(exported.Row(line=line) for line in lines),
    ]
    return b"".join(map(exported.write_row, rows))


def _read_rollout_policy(raw: bytes) -> object:
    """The web framework gives the slice a JSON object, and refuses everything else."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return read_policy(found) if isinstance(found, dict) else None


def _golden_file() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, image=np.zeros((2, 4), np.float32), label=np.zeros(2, np.int64))
    return buffer.getvalue()


_DEVICE_PUBLIC: Final = dsse.load_public(_seed("device-key.pem").decode())
_DEVICE_PRIVATE: Final = dsse.SoftwareSigner(_DEVICE_KEY)
_TOPICS: Final = Topics(FLEET)
_STATE: Final = ModelState(model="digits")

DECODERS: Final[dict[str, Decoder]] = {
    # The protocol
    "dsse": Decoder(
        lambda raw: dsse.verify(raw, assignment.PAYLOAD_TYPE, _DIRECTOR_KEYS.keys()),
        (_seed("assignment.dsse.json"),),
    ),
    "public-key": Decoder(
        lambda raw: dsse.load_public(_text(raw)),
        (_seed("device-key.pem"), dsse.public_pem(_STOLEN).encode()),
    ),
    "assignment": Decoder(
        lambda raw: _accept_assignment(raw, _DIRECTOR_KEYS),
        (_seed("assignment.dsse.json"),),
    ),
    "assignment-of-a-thief": Decoder(
        lambda raw: _accept_assignment(dsse.sign(assignment.PAYLOAD_TYPE, raw, _DIRECTOR), _KEYS),
        (_payload(_seed("assignment.dsse.json")),),
    ),
    "director-keys": Decoder(assignment.decode_director_keys, (_seed("director-keys.json"),)),
    "manifest": Decoder(decode_manifest, (_seed("bundle.json"),)),
    "chunk": Decoder(lambda raw: check_chunk(_BLOB, 1, raw), (b"m" * 4464,)),
    "report": Decoder(
        lambda raw: _accept_reported(raw, _DEVICE_PUBLIC), (_seed("reported.dsse.json"),)
    ),
    "report-of-a-thief": Decoder(
        lambda raw: _accept_reported(
            dsse.sign(reported.PAYLOAD_TYPE, raw, _DEVICE_PRIVATE), _DEVICE_KEY.public_key()
        ),
        (_payload(_seed("reported.dsse.json")),),
    ),
    "window": Decoder(_unseal("window", telemetry.Window, sealed=True), (_seed("window.msgpack"),)),
    "window-of-a-thief": Decoder(
        _unseal("window", telemetry.Window, sealed=False), (_window_body(),)
    ),
    "vitals-of-a-thief": Decoder(_unseal("vitals", telemetry.Vitals, sealed=False), (_VITALS,)),
    "event-of-a-thief": Decoder(_unseal("event", telemetry.Event, sealed=False), (_EVENT,)),
    "ack-of-a-thief": Decoder(_unseal("ack", telemetry.Ack, sealed=False), (_ACK,)),
    "invitation": Decoder(
        lambda raw: decode_invitation(_text(raw)), (encode_invitation(_INVITATION).encode(),)
    ),
    "invitation-packed": Decoder(_decode_packed_invitation, (msgspec.msgpack.encode(_INVITATION),)),
    "topic-device": Decoder(
        lambda raw: _TOPICS.parse_device(_text(raw)), (b"lamp/1/main/d/pi-1/cmd/7/result",)
    ),
    "topic-chunk": Decoder(
        lambda raw: _TOPICS.parse_chunk(_text(raw)), (f"lamp/1/main/blob/{'0' * 64}/7".encode(),)
    ),
    "topic-trust": Decoder(
        lambda raw: _TOPICS.parse_trust(_text(raw)), (b"lamp/1/main/trust/1.root.json",)
    ),
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
    # The agent
    "trust-inbox": Decoder(
        _take_trust, (b"index\n" + _seed("trust-index.json"), b"1.root.json\n{}")
    ),
    **{
        f"tuf-{role}{'-of-a-thief' if signed else ''}": Decoder(
            _refresh_tuf(role, signed=signed), (_tuf_seed(role),)
        )
        for role in ("root", "timestamp", "snapshot", "targets", "model-digits")
        for signed in (False, True)
    },
    "floor": Decoder(lambda raw: read_floor({FLOOR: raw}), (b'"2026-01-01T00:00:00Z"',)),
    "policies": Decoder(
        decode_policies, (b'{"digits":{"model":"digits","minimum_release":2,"machines":["x"]}}',)
    ),
    "journal": Decoder(
        _in_file(Journal), (msgspec.json.encode(Document(models={"digits": _STATE})),)
    ),
    "high-water": Decoder(
        _in_file(lambda path: HighWaterFile(path, "0" * 64)),
        (
            b'{"pinned_root_sha256":"%b","mark":{"generation":{"epoch":1,"counter":7},'
            b'"envelope_sha256":"%b"}}' % (b"0" * 64, b"0" * 64),
        ),
    ),
    "identity": Decoder(_identity("enrolment.json")[0], (_identity("enrolment.json")[1],)),
    "identity-key": Decoder(_identity("device-key.pem")[0], (_identity("device-key.pem")[1],)),
    "outbox": Decoder(_in_file(_open_outbox), (_outbox_file(),)),
    "status": Decoder(
        _in_file(read_status),
        (
            (
                b'{"pid":1,"device":"pi-1","fleet":"main","connected":true,"connection_problem":null,'
                b'"models":[],"serve":{},"trust":null,"problem":null,"at_utc":"2026-01-01T00:00:00Z"}'
            ),
        ),
    ),
    "inference": Decoder(_infer, (_JSON_CALL, _BINARY_CALL)),
    "worker": Decoder(
        lambda raw: msgspec.json.decode(raw, type=port.FromWorker),
        (b'{"type":"beat","requests":1,"predicted":[],"latency":[],"errors":{},"rss_mb":1.0}',),
        expected=(ValueError, RecursionError),  # the supervisor kills a worker that speaks nonsense
    ),
    "golden": Decoder(_in_file(read_golden), (_golden_file(),)),
    # The server
    "enrolment": Decoder(read_enrolment, (_enrolment_request(),)),
    "signing-request": Decoder(lambda raw: read_request(_text(raw), DEVICE), (_signing_request(),)),
    "certificate": Decoder(lambda raw: read_certificate(_text(raw)), (_certificate(),)),
    "presence": Decoder(lambda raw: set_presence(Device(id=DEVICE), raw), (b"online", b"offline")),
    "rollout-policy": Decoder(
        _read_rollout_policy,
        (
            (
                b'{"where":{"site":"a"},"waves":["1","25%","100%"],"deadline_s":60,'
                b'"max_failed_share":5,"pause_after_waves":[0]}'
            ),
        ),
    ),
    "audit-export": Decoder(_read_log, (_log_file(),)),
    "audit-heads": Decoder(lambda raw: exported.find_envelopes(_text(raw)), (_log_file(),)),
    **{
        f"offline-{role}{'-of-a-thief' if signed else ''}": Decoder(
            _accept_offline(role, signed=signed), (seed,)
        )
        for role, seed in (
            ("root", _tuf_seed("root")),
            ("targets", _next_version(_REPOSITORY.files[_published(".targets")], "targets")),
            (
                "model-digits",
                _next_version(_REPOSITORY.files[_published("model-digits")], "model-digits"),
            ),
        )
        for signed in (False, True)
    },
    "tuf-keys": Decoder(_check_keys, (_REPOSITORY.files[_published(".targets")],)),
    "case": Decoder(_in_file(read_case), (_case_file(),)),
}
