"""Freeze this version's wire forms into tests/corpus/<version>/; run once for each release."""

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.protocol.conftest import make_manifest
from tests.protocol.test_reported import report
from tests.protocol.test_telemetry import WINDOW

from lamplighter_protocol import __version__, assignment, dsse, reported, telemetry
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import encode_manifest
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.trust import TrustFile, TrustIndex

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
KEY = bytes(range(32))


def main() -> int:
    """Write the files; refuse to change what is frozen."""
    folder = Path(__file__).parent.parent / "tests/corpus" / __version__
    if folder.exists() and "--again" not in sys.argv:
        print(f"{folder.name} is frozen already; --again makes it anew before it is released")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    director = ed25519.Ed25519PrivateKey.generate()
    device = ec.generate_private_key(ec.SECP256R1())
    manifest = encode_manifest(make_manifest())
    keys = assignment.DirectorKeys(epoch=1, public_pem=(dsse.public_pem(director.public_key()),))
    wanted = assignment.Assignment(
        device="pi-1",
        fleet="main",
        generation=assignment.Generation(1, 1),
        issued_utc=NOW,
        expires_utc=NOW + timedelta(days=1),
        window_s=60,
        models=(
            assignment.AssignedModel(
                model="digits",
                release=1,
                manifest=describe(manifest),
                variant="onnx-fp32",
                not_before_utc=NOW,
                deadline_utc=NOW + timedelta(hours=1),
            ),
        ),
    )
    window = telemetry.seal(
        WINDOW, key=KEY, device="pi-1", stream="window", boot="b", sequence=1, oldest=1
    )
    files = {
        "bundle.json": manifest,
        "director-keys.json": encode(keys),
        "assignment.dsse.json": assignment.sign_assignment(wanted, dsse.SoftwareSigner(director)),
        "device-key.pem": dsse.public_pem(device.public_key()).encode(),
        "reported.dsse.json": reported.sign_reported(report(), dsse.SoftwareSigner(device)),
        "telemetry.key": KEY,
        "window.msgpack": window,
        "trust-index.json": encode(
            TrustIndex(files=(TrustFile(name="1.root.json", sha256="0" * 64, size_bytes=1),))
        ),
    }
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    print(f"{len(files)} files frozen in tests/corpus/{__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
