"""Keys, a bundle, a real server in a thread, and the TUF client that devices use."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.protocol.conftest import make_manifest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater
from typer.testing import CliRunner, Result

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.bundle import decode_manifest, encode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.app import open_context
from lamplighter_server.cli.api import Api
from lamplighter_server.cli.app import app
from lamplighter_server.doors import people_app
from lamplighter_server.publishing.client import always, init_keys
from lamplighter_server.settings import Settings
from lamplighter_server.trust import renewal

PASSPHRASE = "correct horse"
SECRETS = always(PASSPHRASE)
TOKEN = "secret"
EVIDENCE = b'{"accuracy":1}'


def make_bundle(release: int = 1) -> Bundle:
    raw = encode_manifest(make_manifest(release))
    files = {"model.onnx": b"m" * 70_000, "golden.npz": b"g"}
    return Bundle(manifest=decode_manifest(raw), manifest_raw=raw, files=files)


class RunningServer:
    """A server whose ticks a test makes when it wants one."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.address = f"http://127.0.0.1:{port}"
        self._port = port
        self._ready = threading.Event()
        self._server: Any = None
        self._loop: Any = None
        self.context: Any = None

    def tick(self) -> None:
        asyncio.run_coroutine_threadsafe(renewal.tick(self.context), self._loop).result(20)

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with open_context(Settings(data_dir=self.folder)) as self.context:
            config = uvicorn.Config(
                people_app(self.context, TOKEN),
                host="127.0.0.1",
                port=self._port,
                log_level="error",
            )
            ready = self._ready

            class Told(uvicorn.Server):
                async def startup(self, sockets: Any = None) -> None:
                    await super().startup(sockets)
                    ready.set()

            self._server = Told(config)
            await self._server.serve()

    @contextmanager
    def started(self) -> Iterator["RunningServer"]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            assert self._ready.wait(20)
            yield self
        finally:
            if self._server is not None:
                self._server.should_exit = True
            thread.join(20)


@pytest.fixture
def start_server(
    tmp_path: Path, free_port: Callable[[], int]
) -> Callable[..., AbstractContextManager[RunningServer]]:
    def start(name: str = "server") -> AbstractContextManager[RunningServer]:
        return RunningServer(tmp_path / name, free_port()).started()

    return start


@pytest.fixture
def server(
    start_server: Callable[..., AbstractContextManager[RunningServer]],
) -> Iterator[RunningServer]:
    with start_server() as running:
        yield running


@pytest.fixture
def address(server: RunningServer) -> str:
    return server.address


@pytest.fixture
def api(address: str) -> Iterator[Api]:
    with Api(address, TOKEN) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def established(api: Api, folder: Path) -> Path:
    """The folder of a holder whose root the server has."""
    init_keys(api, folder, PASSPHRASE)
    return folder


class FromServer(FetcherInterface):
    def __init__(self, api: Api) -> None:
        self._api = api

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield self._api.get_bytes("/api/v1/trust/files/" + url.rpartition("/")[2])
        except LamplighterError as error:
            raise DownloadHTTPError(error.sentence, 404) from error


class Device:
    """A TUF client that was given the first root out of band, and keeps what it verified."""

    def __init__(self, store: Path, api: Api) -> None:
        store.mkdir(exist_ok=True)
        self._store, self._api = store, api
        self._root = api.get_bytes("/api/v1/trust/files/1.root.json")

    def refresh(self) -> Updater:
        client = Updater(
            str(self._store), "http://x/", fetcher=FromServer(self._api), bootstrap=self._root
        )
        client.refresh()
        return client

    def knows(self, path: str) -> bool:
        return self.refresh().get_targetinfo(path) is not None


@pytest.fixture
def make_device(tmp_path: Path, api: Api) -> Callable[[], Device]:
    def make() -> Device:
        return Device(tmp_path / "device", api)

    return make


class LosesAnswers(Api):
    """The server does its work; its answer to a change never arrives."""

    def post(self, path: str, body: Any) -> Any:
        super().post(path, body)
        raise LamplighterError("SERVER_UNREACHABLE", "The connection was lost.")


@pytest.fixture
def lossy(address: str) -> Iterator[Api]:
    with LosesAnswers(address, TOKEN) as client:
        yield client


class Person:
    """Somebody with a keys folder of their own, at a command line."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self._address = address

    def run(self, *arguments: str, passphrase: str = PASSPHRASE) -> Result:
        """What a command did; a refusal is raised."""
        result = CliRunner().invoke(
            app,
            ["--server", self._address, "--token", TOKEN, "keys", *arguments],
            env={
                "LAMPLIGHTER_KEYS_DIR": str(self.folder),
                "LAMPLIGHTER_PASSPHRASE": passphrase,
                "COLUMNS": "200",
            },
        )
        if result.exception is not None:
            raise result.exception
        return result

    def refused(self, *arguments: str, **options: str) -> str:
        """The code of the refusal that a command ends with."""
        with pytest.raises(LamplighterError) as caught:
            self.run(*arguments, **options)
        return caught.value.code

    def status(self) -> dict[str, Any]:
        roles: dict[str, Any] = json.loads(self.run("status", "--json").stdout)["roles"]
        return roles


@pytest.fixture
def person(tmp_path: Path, address: str) -> Callable[[str], Person]:
    return lambda name: Person(tmp_path / name, address)
