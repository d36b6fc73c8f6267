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
    ) -> str:
        certificate, _ = by.issue(name, tmp_path, days=days, key=key)
        return certificate.read_text()

    current = issue(days=3)
    assert is_newer(issue(), current_pem=current, ca_pem=ca_pem)
    assert not is_newer(current, current_pem=current, ca_pem=ca_pem)
    assert not is_newer(issue(days=1), current_pem=current, ca_pem=ca_pem)
    for offered, code in (
        (issue(by=other), "SERVER_UNTRUSTED"),
        (issue(name="pi-2"), "SERVER_UNTRUSTED"),
        (issue(key=new_key()), "SERVER_UNTRUSTED"),
        ("", "MESSAGE_MALFORMED"),
        ("é" * 99, "MESSAGE_MALFORMED"),
    ):
        with pytest.raises(LamplighterError, match=code):
            is_newer(offered, current_pem=current, ca_pem=ca_pem)
