import shutil

import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.broker.process import _find_mosquitto


def test_a_missing_broker_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: None)
    with pytest.raises(LamplighterError) as refused:
        _find_mosquitto()
    assert refused.value.code == "BROKER_MISSING"
    assert "apt install mosquitto" in str(refused.value)
