import pytest

from lamplighter_protocol.errors import CATALOGUE, LamplighterError


@pytest.mark.parametrize("code", CATALOGUE)
def test_each_error_has_a_code_a_status_and_a_remedy(code: str) -> None:
    entry = CATALOGUE[code]
    assert code == code.upper()
    assert 400 <= entry.http_status < 600
    assert entry.remedy.endswith(".")
    error = LamplighterError(code, "Something happened.")
    assert str(error) == f"{code}: Something happened. {entry.remedy}"


def test_an_unknown_code_is_a_programmer_error() -> None:
    with pytest.raises(KeyError):
        LamplighterError("NO_SUCH_CODE", "")
