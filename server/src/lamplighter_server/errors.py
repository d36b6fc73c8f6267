"""Every refusal has the same shape: code, sentence, remedy, and whether to try again."""

import math
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.audit import service as audit

#: Who asked was not believed, or may not do it: the audit log is told.
REFUSED: Final = frozenset({401, 403})


def body_of(error: LamplighterError) -> dict[str, Any]:
    """The JSON of an error."""
    return {
        "code": error.code,
        "sentence": error.sentence,
        "remedy": error.remedy,
        "retryable": error.retryable,
    }


def answer(error: LamplighterError, status: int | None = None) -> JSONResponse:
    """The response that carries an error."""
    wait_s = error.retry_after_s
    return JSONResponse(
        body_of(error),
        status_code=status or error.entry.http_status,
        headers={"Retry-After": str(math.ceil(wait_s))} if wait_s is not None else None,
    )


def install(app: FastAPI) -> None:
    """Give every error of an application that shape."""
    app.add_exception_handler(LamplighterError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(UnicodeEncodeError, _on_no_text)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LamplighterError)  # noqa: S101 - by registration
    if error.entry.http_status in REFUSED:
        audit.note(
            request.app.state.context,
            getattr(request.state, "actor", audit.NOBODY),
            "refused",
            f"{request.method} {request.url.path}",
            {"code": error.code, "sentence": error.sentence},
        )
    return answer(error)


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - by registration
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    sentence = f"{place}: {first['msg']}."
    return answer(LamplighterError("MESSAGE_MALFORMED", sentence), 422)


async def _on_no_text(_request: Request, _error: Exception) -> JSONResponse:
    """JSON can spell halves of characters, which no database and no digest takes."""
    return answer(LamplighterError("MESSAGE_MALFORMED", "A text is not valid Unicode."))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - by registration
    code = "NOT_FOUND" if error.status_code == 404 else "MESSAGE_MALFORMED"
    sentence = f"{request.method} {request.url.path}: {error.detail}."
    return answer(LamplighterError(code, sentence), error.status_code)
