"""YAML that people write for us: small, plain, and without tricks."""

from typing import Any, Final

import yaml

from lamplighter_protocol.errors import LamplighterError

MAX_BYTES: Final = 256 * 1024


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """An alias could name a huge value many times over."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML's own types
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def read_yaml(raw: bytes) -> Any:  # noqa: ANN401 - whatever was written
    """The document as plain Python objects; an empty one is an empty mapping.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE.
        ValueError: With the place that is wrong.
    """
    if len(raw) > MAX_BYTES:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"The YAML file has {len(raw)} bytes.")
    try:
        return yaml.load(raw, _Loader) or {}  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
