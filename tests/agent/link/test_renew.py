from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.agent.tls import Authority

from lamplighter_agent.link.renew import is_newer
from lamplighter_agent.store.identity import new_key
from lamplighter_protocol.errors import LamplighterError

KEY = new_key()


def test_only_a_longer_one_of_our_own_takes_the_place_of_the_certificate(tmp_path: Path) -> None:
    authority, other = Authority(), Authority()
    ca_pem = authority.save(tmp_path).read_text()

    def issue(
        name: str = "pi-1",
        days: int = 9,
        by: Authority = authority,
        key: ec.EllipticCurvePrivateKey = KEY,
        names: ec.EllipticCurvePublicKey | None = None,
    ) -> str:
        certificate, _ = by.issue(name, tmp_path, days=days, key=key, names=names)
        return certificate.read_text()

    current = issue(days=3)

    def newer(offered: str, key: ec.EllipticCurvePrivateKey = KEY) -> bool:
        certified, own = key.public_key(), KEY.public_key()
        return is_newer(offered, current_pem=current, ca_pem=ca_pem, key=certified, signer=own)

    fresh = new_key()
    assert newer(issue())
    assert newer(issue(key=fresh, names=KEY.public_key()), fresh)
    assert not newer(current)
    assert not newer(issue(days=1))
    for offered, key, code in (
        (issue(by=other), KEY, "SERVER_UNTRUSTED"),
        (issue(name="pi-2"), KEY, "SERVER_UNTRUSTED"),
        (issue(key=new_key()), KEY, "SERVER_UNTRUSTED"),
        (issue(key=fresh), fresh, "SERVER_UNTRUSTED"),
        (issue(key=fresh, names=new_key().public_key()), fresh, "SERVER_UNTRUSTED"),
        ("", KEY, "MESSAGE_MALFORMED"),
        ("é" * 99, KEY, "MESSAGE_MALFORMED"),
    ):
        with pytest.raises(LamplighterError, match=code):
            newer(offered, key)
