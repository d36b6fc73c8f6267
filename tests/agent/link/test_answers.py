from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.link.answers import Answer, check_range, read_head, refusal

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
DIGEST = "a" * 64
GOOD = {"content-range": "bytes 5-9/20", "etag": f'"{DIGEST}"', "content-length": "5"}


@given(st.binary())
def test_whatever_comes_is_a_head_or_a_value_error(raw: bytes) -> None:
    try:
        answer = read_head(raw)
    except ValueError:
        return
    assert 0 <= answer.status <= 999


@given(st.binary())
def test_whatever_headers_come_is_a_head_or_a_value_error(raw: bytes) -> None:
    try:
        answer = read_head(b"HTTP/1.1 206 Partial Content\r\n" + raw)
    except ValueError:
        return
    assert answer.status == 206


def test_a_head_is_read() -> None:
    answer = read_head(b"HTTP/1.1 206 Partial Content\r\nETag: x\r\nContent-Length: 12\r\n\r\n")
    assert (answer.status, answer.headers["etag"], answer.length_bytes) == (206, "x", 12)


@pytest.mark.parametrize("length", ["", "-1", "1e3", "9" * 13, "\u0663"])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    with pytest.raises(ValueError, match="how long"):
        _ = Answer(200, {"content-length": length}).length_bytes


def test_what_was_asked_for_passes() -> None:
    check_range(Answer(206, GOOD), range(5, 10), 20, DIGEST)


@pytest.mark.parametrize(
    ("status", "changed"),
    [
        (200, {}),
        (206, {"content-range": "bytes 0-4/20"}),
        (206, {"content-range": "bytes 5-9/21"}),
        (206, {"etag": '"other"'}),
        (206, {"content-length": "6"}),
        (206, {"transfer-encoding": "chunked"}),
    ],
)
def test_anything_else_does_not(status: int, changed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not what was asked for"):
        check_range(Answer(status, {**GOOD, **changed}), range(5, 10), 20, DIGEST)


@pytest.mark.parametrize(
    ("status", "header", "code", "after_s"),
    [
        (404, None, "FETCH_REFUSED", None),
        (404, "9", "FETCH_REFUSED", None),
        (429, "9", "FETCH_STALLED", 9),
        (429, None, "FETCH_STALLED", None),
        (503, "Fri, 01 May 2026 00:01:00 GMT", "FETCH_STALLED", 60),
        (500, "9", "FETCH_STALLED", None),
    ],
)
def test_a_refusal_says_whether_and_when_to_come_back(
    status: int, header: str | None, code: str, after_s: float | None
) -> None:
    headers = {} if header is None else {"retry-after": header}
    error = refusal(Answer(status, headers), b"<html>", NOW)
    assert (error.code, error.retry_after_s) == (code, after_s)


@given(st.binary())
def test_no_body_of_a_refusal_sets_the_code(body: bytes) -> None:
    assert refusal(Answer(404, {}), body, NOW).code == "FETCH_REFUSED"
    lie = b'{"code":"STORE_CORRUPT","sentence":"x"}'
    error = refusal(Answer(500, {}), lie, NOW)
    assert error.code == "FETCH_STALLED"
    assert "STORE_CORRUPT: x" in error.sentence
