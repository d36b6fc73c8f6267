"""Where the models answer, as the status tells it."""

from collections.abc import Mapping

from lamplighter_agent.app.status import Serve
from lamplighter_agent.app.updater import ModelUpdater


def describe_serving(updaters: Mapping[str, ModelUpdater]) -> dict[str, Serve]:
    """Addresses of every model that has sockets, and whether somebody answers there."""
    return {
        name: Serve(
            url=updater.sockets.url,
            socket=str(updater.sockets.unix_path) if updater.sockets.unix_path else None,
            ready=updater.serving is not None,
            worker_pid=_worker_pid(updater),
        )
        for name, updater in updaters.items()
        if updater.sockets is not None
    }


def _worker_pid(updater: ModelUpdater) -> int | None:
    serving = updater.serving
    return serving.worker.pid if serving is not None and serving.worker is not None else None
