from typing import Any, cast

import pytest
import typer

from lamplighter_server.cli.api import Api
from lamplighter_server.cli.arguments import find_release


class Server:
    """Knows one name."""

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/v1/models/digits/aliases/champion"
        return {"release": 7}


API = cast("Api", Server())


def test_a_release_is_a_number_or_a_name() -> None:
    assert find_release(API, "digits@2") == ("digits", 2)
    assert find_release(API, "digits@champion") == ("digits", 7)


@pytest.mark.parametrize("text", ["digits", "digits@", "@2", "", "@"])
def test_anything_else_is_a_mistake_in_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        find_release(API, text)
