from tests.server.data.conftest import add, patients, places
from tests.server.publishing.conftest import address, api, established, folder, server, start_server

__all__ = [
    "add",
    "address",
    "api",
    "established",
    "folder",
    "patients",
    "places",
    "server",
    "start_server",
]
