"""Each way in which a token can fail has a code of its own, and none costs the agent its life."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from pkcs11 import ObjectClass
from tests.softhsm import PIN, SoftHsm

from lamplighter_agent.keys import module
from lamplighter_agent.keys.child import Ask, answer
from lamplighter_agent.keys.token_key import TokenKey
from lamplighter_agent.keys.uri import parse_uri
from lamplighter_protocol.errors import LamplighterError

BOTH = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)


def code_of(uri: str) -> str:
    with pytest.raises(LamplighterError) as caught:
        TokenKey.provide(uri)
    assert PIN not in str(caught.value)
    return caught.value.code


def refusal(key: TokenKey) -> str:
    with pytest.raises(LamplighterError) as caught:
        key.sign(b"x")
    return caught.value.code


def test_a_key_is_made_once_and_cannot_be_taken_out(softhsm: SoftHsm) -> None:
    first = TokenKey.provide(softhsm.uri())
    assert TokenKey.provide(softhsm.uri()).public == first.public
    assert TokenKey.provide(softhsm.uri(key="other")).public != first.public
    softhsm.make_key("by-hand")
    TokenKey.provide(softhsm.uri(key="by-hand")).sign(b"x")


def test_the_way_to_the_token(softhsm: SoftHsm, tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library")
    assert code_of(softhsm.uri(module=str(tmp_path / "none.so"))) == "TOKEN_MODULE_FAILED"
    assert code_of(softhsm.uri(module=str(text))) == "TOKEN_MODULE_FAILED"
    assert code_of(softhsm.uri(token="none")) == "TOKEN_MISSING"
    softhsm.add_token()
    assert code_of(softhsm.uri()) == "TOKEN_MISSING"  # which of the two?
    assert code_of("pkcs11:token=x") == "KEY_URI_INVALID"


def test_the_serial_number_tells_tokens_of_one_label_apart(softhsm: SoftHsm) -> None:
    with softhsm.session() as session:
        serial = session.token.serial.decode()
    softhsm.add_token()
    named = softhsm.uri().replace(";object", f";serial={serial};object")
    assert TokenKey.provide(named).public == TokenKey.provide(named).public


def test_the_file_of_the_pin(softhsm: SoftHsm, tmp_path: Path) -> None:
    assert code_of(softhsm.uri(pin_file=str(tmp_path / "none"))) == "TOKEN_PIN_UNREADABLE"
    assert code_of(softhsm.uri(pin_file=str(tmp_path))) == "TOKEN_PIN_UNREADABLE"
    for mode in (0o604, 0o640, 0o620):
        softhsm.pin_file.chmod(mode)
        assert code_of(softhsm.uri()) == "TOKEN_PIN_UNREADABLE"
    for pin in ("", "two\nlines", "x" * 1000):
        softhsm.write_pin(pin)
        assert code_of(softhsm.uri()) == "TOKEN_PIN_UNREADABLE"
    softhsm.pin_file.write_bytes(b"\xff\xfe")
    assert code_of(softhsm.uri()) == "TOKEN_PIN_UNREADABLE"
    softhsm.write_pin("0815-wrong")
    assert code_of(softhsm.uri()) == "TOKEN_PIN_WRONG"


def test_a_refused_pin_is_not_tried_again_until_its_file_changes(softhsm: SoftHsm) -> None:
    key = TokenKey.provide(softhsm.uri())
    softhsm.write_pin("0815-wrong")
    assert refusal(key) == "TOKEN_PIN_WRONG"
    softhsm.unplug()
    assert refusal(key) == "TOKEN_PIN_WRONG"  # the token, which is away, was not asked
    softhsm.write_pin(PIN)
    assert refusal(key) == "TOKEN_MISSING"
    softhsm.plug()
    key.sign(b"x")


def test_a_token_may_come_and_go(softhsm: SoftHsm) -> None:
    key = TokenKey.provide(softhsm.uri())
    softhsm.unplug()
    assert refusal(key) == "TOKEN_MISSING"
    softhsm.plug()
    key.sign(b"x")


def test_a_key_that_does_not_serve(softhsm: SoftHsm) -> None:
    softhsm.make_rsa_key("rsa")
    softhsm.make_key("p384", curve="secp384r1")
    softhsm.make_key("leaky", extractable=True)
    softhsm.make_key("half")
    softhsm.destroy("half", ObjectClass.PUBLIC_KEY)
    softhsm.make_key("twins")
    softhsm.make_key("twins")
    for label in ("rsa", "p384", "leaky", "half", "twins"):
        assert code_of(softhsm.uri(key=label)) == "TOKEN_KEY_UNFIT"


def test_the_enrolled_key_is_gone_or_another(softhsm: SoftHsm) -> None:
    key = TokenKey.provide(softhsm.uri())
    softhsm.destroy("device", *BOTH)
    assert refusal(key) == "TOKEN_KEY_LOST"  # and none is made in its place
    assert refusal(key) == "TOKEN_KEY_LOST"
    softhsm.make_key("device")
    assert refusal(key) == "TOKEN_KEY_LOST"


def test_a_module_that_breaks_down_takes_only_its_own_process_with_it(softhsm: SoftHsm) -> None:
    """And what that process is called does not tell the PIN."""
    key = TokenKey.provide(softhsm.uri())
    softhsm.pin_file.unlink()
    os.mkfifo(softhsm.pin_file, 0o600)  # it hangs in the middle
    seen: list[str] = []

    def kill() -> None:
        this = psutil.Process()
        while not (children := [c for c in this.children() if "keys.child" in str(c.cmdline())]):
            time.sleep(0.01)
        seen.append(f"{children[0].cmdline()} {children[0].environ()}")
        children[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    assert refusal(key) == "TOKEN_FAILED"
    killer.join()
    assert PIN not in seen[0]


def test_without_the_extra_the_agent_runs_and_says_what_to_install(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = softhsm.uri()
    code = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "import lamplighter_agent.app.cli, lamplighter_agent.app.supervisor\n"
        "import lamplighter_agent.app.enrolment"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(LamplighterError, match="TOKEN_SUPPORT_MISSING"):
        module.sign(parse_uri(uri), b"\x00" * 32)
    failure = answer(Ask(uri=uri, digest=None)).failure
    assert failure is not None
    assert failure.code == "TOKEN_SUPPORT_MISSING"
