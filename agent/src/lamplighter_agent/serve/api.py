"""What a worker answers over HTTP: two protocols and its metrics."""

from collections.abc import Callable
from typing import Final

from lamplighter_agent.ports.servable import Servable
from lamplighter_agent.serve.http import Answer, Request, error_answer
from lamplighter_agent.serve.metrics import render
from lamplighter_agent.serve.offers import not_offered
from lamplighter_agent.serve.v1 import V1
from lamplighter_agent.serve.v2 import V2
from lamplighter_protocol.errors import LamplighterError

METRICS_KIND: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Api:
    """Answers requests for one release."""

    def __init__(self, servable: Servable) -> None:
        self._servable = servable
        self._parts: dict[str, Callable[[Request], Answer]] = {
            "v1": V1(servable).answer,
            "v2": V2(servable).answer,
            "metrics": self._metrics,
        }

    def answer(self, request: Request) -> Answer:
        """Answer one request, whatever it is."""
        try:
            part = self._parts.get(request.path.split("/", 2)[1] if "/" in request.path else "")
            if part is None:
                raise not_offered(request)
            if request.headers.get(b"content-encoding", b"identity") != b"identity":
                raise LamplighterError("REQUEST_INVALID", "A body must not be compressed here.")
            return part(request)
        except LamplighterError as error:
            return error_answer(error)

    def _metrics(self, request: Request) -> Answer:
        if (request.method, request.path) not in {("GET", "/metrics"), ("HEAD", "/metrics")}:
            raise not_offered(request)
        return Answer(200, render(self._servable).encode(), METRICS_KIND)
