"""What is not served, and how that is said."""

from lamplighter_agent.serve.http import Request
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.errors import LamplighterError


def not_offered(request: Request) -> LamplighterError:
    """The refusal of a method or a path."""
    return LamplighterError("NOT_FOUND", f"{request.method} {request.path!r} is not offered.")


def check_model(manifest: Manifest, model: str, version: str | None) -> None:
    """Refuse another model or release than the one that is served.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    if model != manifest.model or version not in (None, str(manifest.release)):
        asked = model if version is None else f"{model} release {version}"
        raise LamplighterError(
            "NOT_FOUND", f"{asked} is not served; {manifest.model} {manifest.release} is."
        )
