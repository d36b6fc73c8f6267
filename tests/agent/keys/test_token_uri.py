from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.keys.uri import MAX_URI_CHARACTERS, parse_uri
from lamplighter_protocol.errors import LamplighterError

GOOD = "pkcs11:token=lamp;object=device?module-path=/usr/lib/m.so&pin-source=file:/etc/pin"
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)


@given(WORDS, WORDS, WORDS)
def test_any_label_survives_the_uri(token: str, key: str, serial: str) -> None:
    path = f"token={quote(token, safe='')};object={quote(key, safe='')}"
    text = f"pkcs11:{path};serial={quote(serial, safe='')}?{GOOD.partition('?')[2]}"
    uri = parse_uri(text)
    assert (uri.token, uri.key, uri.serial) == (token, key, serial)


@pytest.mark.parametrize("source", ["file:/etc/pin", "file:///etc/pin"])
def test_paths_are_absolute(source: str) -> None:
    uri = parse_uri(GOOD.replace("file:/etc/pin", source))
    assert (str(uri.module), str(uri.pin_file), uri.serial) == ("/usr/lib/m.so", "/etc/pin", None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hsm:2",
        "pkcs11:",
        GOOD.replace("token=lamp;", ""),
        GOOD.replace("object=device", "object="),
        GOOD.replace("object=device", "object=a%00b"),
        GOOD.replace("object=device", "object=%FF"),
        GOOD.replace("token=lamp", "token=lamp;token=other"),
        GOOD.replace("token=lamp", "token=lamp;slot-id=3"),
        GOOD.replace("/usr/lib/m.so", "m.so"),
        GOOD.replace("file:/etc/pin", "file:pin"),
        GOOD.replace("file:/etc/pin", "/etc/pin"),
        GOOD.replace("file:/etc/pin", "|cat /etc/pin"),
        GOOD.partition("&")[0],
        GOOD.replace("lamp", "l" * MAX_URI_CHARACTERS),
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(LamplighterError, match="KEY_URI_INVALID"):
        parse_uri(text)


def test_a_pin_in_the_uri_is_refused_and_not_repeated() -> None:
    with pytest.raises(LamplighterError, match="KEY_URI_INVALID") as caught:
        parse_uri(f"{GOOD}&pin-value=4711")
    assert "pin-source" in caught.value.sentence
    assert "4711" not in str(caught.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    code = None
    try:
        parse_uri("pkcs11:" + text)
    except LamplighterError as error:
        code = error.code
    assert code in {None, "KEY_URI_INVALID"}
