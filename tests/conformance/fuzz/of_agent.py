"""What a device reads: from the broker, from its own disk, from its clients."""

import asyncio
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.conformance.fuzz.decoder import (
    DEVICE,
    DEVICE_KEY,
    FLEET,
    NOW_UTC,
    Decoder,
    in_file,
    seed,
    text,
)
from tests.conformance.fuzz.repository import REPOSITORY, published, sign_again, tuf_seed

from lamplighter_agent.app.status import read_status
from lamplighter_agent.core.state import ModelState
from lamplighter_agent.keys.token_key import TokenKey
from lamplighter_agent.keys.uri import parse_uri
from lamplighter_agent.ports import worker as port
from lamplighter_agent.runtime.golden import read_golden
from lamplighter_agent.serve import oip, tfs
from lamplighter_agent.serve.http import Connection, Handler, json_answer
from lamplighter_agent.store.high_water import HighWaterFile
from lamplighter_agent.store.identity import Enrolment, load_identity, save_identity
from lamplighter_agent.store.journal import Document, Journal, encode_journal
from lamplighter_agent.store.outbox import Outbox
from lamplighter_agent.trust.client import Client
from lamplighter_agent.trust.floor import FLOOR, raise_floor, read_floor
from lamplighter_agent.trust.models import read_models
from lamplighter_agent.trust.policies import decode_policies
from lamplighter_agent.trust.refresh import Trust, TrustDirs
from lamplighter_protocol import telemetry
from lamplighter_protocol.bundle import TensorSpec

_AGREEMENT: Final = X25519PrivateKey.generate()


def _refresh_tuf(role: str, *, signed: bool) -> Callable[[bytes], object]:
    name = "2.root.json" if role == "root" else published(role)

    def read(raw: bytes) -> object:
        files = {**REPOSITORY.files, name: sign_again(raw, role) if signed else raw}
        pinned = {"root.json": REPOSITORY.root_bytes}
        client = Client(pinned, lambda name, _: files.get(name), NOW_UTC)
        client.refresh()
        issued = client.timestamp.unrecognized_fields.get("issued_utc")
        raise_floor(NOW_UTC, issued, NOW_UTC)
        return read_models(client)

    return read


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


def _identity(name: str, token: TokenKey | None = None) -> tuple[Callable[[bytes], object], bytes]:
    """Read an identity of which one file is not what it was; and that file."""
    enrolment = Enrolment(
        device=DEVICE, fleet=FLEET, url="https://x", broker_host="x", broker_port=1
    )

    def read(raw: bytes | None) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            identity = save_identity(
                Path(folder) / "identity",
                enrolment,
                key=DEVICE_KEY,
                certificate_pem="c",
                ca_pem="c",
                root_json=b"{}",
                telemetry_key=b"k" * 32,
                agreement=_AGREEMENT,
                token=token,
            )
            if raw is not None:
                (identity.directory / name).write_bytes(raw)
            load_identity(identity.directory)
            return (identity.directory / name).read_bytes()

    return read, read(None)


_TOKEN_URI: Final = "pkcs11:token=T;object=K?module-path=/m.so&pin-source=file:/pin"
_ON_TOKEN: Final = _identity("device-key.json", TokenKey(_TOKEN_URI, DEVICE_KEY.public_key()))


def _take_trust(raw: bytes) -> None:
    """The first line is the name, the rest the file."""
    name, _, payload = raw.partition(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        trust = Trust(TrustDirs(root / "store", root / "inbox", root / "root.json"))
        trust.take(text(name), payload)
        trust.is_due()


_INPUTS: Final = (
    TensorSpec(name="a", datatype="FP32", shape=(-1, 2)),
    TensorSpec(name="b", datatype="INT64", shape=(-1,)),
    TensorSpec(name="c", datatype="BYTES", shape=(-1,)),
)


def _infer(raw: bytes) -> object:
    """Plain JSON; or, after four bytes that are its length, JSON with binary tensors."""
    outputs = (TensorSpec(name="label", datatype="INT64", shape=(-1,)),)
    if raw[:1] != b"{":
        return oip.read_request(raw[4:], int.from_bytes(raw[:4], "big"), _INPUTS, outputs)
    return oip.read_request(raw, None, _INPUTS, outputs)


class _Transport(asyncio.Transport):
    """A connection whose other end says nothing more."""

    closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: object) -> None:
        assert not self.closing, "nothing is said after the end"

    def write_eof(self) -> None:
        self.closing = True

    close = abort = write_eof


def _speak_http(raw: bytes) -> None:
    async def speak() -> None:
        connection = Connection(Handler(lambda request: json_answer(list(request.path))))
        connection.connection_made(_Transport())
        connection.data_received(raw[:20])
        connection.data_received(raw[20:])

    asyncio.run(speak())


def _tensors(**of_each: Any) -> dict[str, Any]:
    first = {"name": "a", "shape": [1, 2], "datatype": "FP32", **of_each.get("a", {})}
    second = {"name": "b", "shape": [1], "datatype": "INT64", **of_each.get("b", {})}
    third = {"name": "c", "shape": [1], "datatype": "BYTES", **of_each.get("c", {})}
    return {"inputs": [first, second, third], "outputs": [{"name": "label"}], "id": "1"}


_JSON_CALL: Final = json.dumps(
    _tensors(a={"data": [[0.5, 1]]}, b={"data": [7]}, c={"data": ["x"]})
).encode()
_HEAD: Final = json.dumps(
    _tensors(**{name: {"parameters": {"binary_data_size": 8}} for name in "abc"})
).encode()
_BINARY_CALL: Final = len(_HEAD).to_bytes(4, "big") + _HEAD + b"\x00" * 16 + b"\x04\x00\x00\x00text"
_ROWS: Final = b'{"instances":[{"a":[NaN,1.5],"b":7,"c":"x"}]}'
_COLUMNS: Final = b'{"inputs":{"a":[[1,2]],"b":[7],"c":["x"]},"signature_name":""}'
_POST: Final = (
    b"POST /v2/models/m/infer?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\nx\r\n0\r\n\r\n"
)


def _golden_file() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, image=np.zeros((2, 4), np.float32), label=np.zeros(2, np.int64))
    return buffer.getvalue()


_STATE: Final = ModelState(model="digits")


OF_AGENT: Final[dict[str, Decoder]] = {
    "trust-inbox": Decoder(
        _take_trust, (b"index\n" + seed("trust-index.json"), b"1.root.json\n{}")
    ),
    **{
        f"tuf-{role}{'-of-a-thief' if signed else ''}": Decoder(
            _refresh_tuf(role, signed=signed), (tuf_seed(role),)
        )
        for role in ("root", "timestamp", "snapshot", "targets", "model-digits")
        for signed in (False, True)
    },
    "floor": Decoder(lambda raw: read_floor({FLOOR: raw}), (b'"2026-01-01T00:00:00Z"',)),
    "policies": Decoder(
        decode_policies, (b'{"digits":{"model":"digits","minimum_release":2,"machines":["x"]}}',)
    ),
    "journal": Decoder(in_file(Journal), (encode_journal(Document(models={"digits": _STATE})),)),
    "high-water": Decoder(
        in_file(lambda path: HighWaterFile(path, "0" * 64)),
        (
            b'{"pinned_root_sha256":"%b","mark":{"generation":{"epoch":1,"counter":7},'
            b'"envelope_sha256":"%b"}}' % (b"0" * 64, b"0" * 64),
        ),
    ),
    "identity": Decoder(_identity("enrolment.json")[0], (_identity("enrolment.json")[1],)),
    "identity-on-token": Decoder(_ON_TOKEN[0], (_ON_TOKEN[1],)),
    "token-uri": Decoder(lambda raw: parse_uri(text(raw)), (_TOKEN_URI.encode(),)),
    "identity-key": Decoder(_identity("device-key.pem")[0], (_identity("device-key.pem")[1],)),
    "outbox": Decoder(in_file(_open_outbox), (_outbox_file(),)),
    "status": Decoder(
        in_file(read_status),
        (
            (
                b'{"pid":1,"device":"pi-1","fleet":"main","connected":true,"connection_problem":null,'
                b'"models":[],"serve":{},"trust":null,"problem":null,"at_utc":"2026-01-01T00:00:00Z"}'
            ),
        ),
    ),
    "inference": Decoder(_infer, (_JSON_CALL, _BINARY_CALL)),
    "predict": Decoder(lambda raw: tfs.read_request(raw, _INPUTS), (_ROWS, _COLUMNS)),
    "http": Decoder(_speak_http, (_POST,)),
    "worker": Decoder(
        lambda raw: msgspec.json.decode(raw, type=port.FromWorker),
        (b'{"type":"beat","requests":1,"predicted":[],"latency":[],"errors":{},"rss_mb":1.0}',),
        expected=(ValueError, RecursionError),  # the supervisor kills a worker that speaks nonsense
    ),
    "golden": Decoder(in_file(read_golden), (_golden_file(),)),
}
