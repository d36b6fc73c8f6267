"""The publishing client, the real server, and what a real TUF client makes of it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.server.publishing.conftest import PASSPHRASE, make_bundle
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, evidence_target, manifest_target
from lamplighter_server.app import open_context
from lamplighter_server.cli.api import Api
from lamplighter_server.doors import people_app
from lamplighter_server.publishing.client import init_keys, next_release, publish_release
from lamplighter_server.settings import Settings

TOKEN = "secret"
EVIDENCE = b'{"accuracy":1}'


@pytest.fixture
def address(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    port, ready = free_port(), threading.Event()
    running: list[uvicorn.Server] = []

    class Told(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready.set()

    async def serve() -> None:
        async with open_context(Settings(data_dir=tmp_path / "server")) as context:
            config = uvicorn.Config(
                people_app(context, TOKEN), host="127.0.0.1", port=port, log_level="error"
            )
            running.append(Told(config))
            await running[0].serve()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield f"http://127.0.0.1:{port}"
    finally:
        if running:
            running[0].should_exit = True
        thread.join(20)


@pytest.fixture
def api(address: str) -> Iterator[Api]:
    with Api(address, TOKEN) as client:
        yield client


class FromServer(FetcherInterface):
    def __init__(self, api: Api) -> None:
        self._api = api

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield self._api.get_bytes("/api/v1/trust/files/" + url.rpartition("/")[2])
        except LamplighterError as error:
            raise DownloadHTTPError(error.sentence, 404) from error


def device(tmp_path: Path, folder: Path, api: Api) -> Updater:
    """A device that was given the root out of band."""
    store = tmp_path / "device"
    store.mkdir(exist_ok=True)
    client = Updater(
        str(store),
        "http://x/",
        fetcher=FromServer(api),
        bootstrap=(folder / "root.json").read_bytes(),
    )
    client.refresh()
    return client


class LosesAnswers(Api):
    """The server does its work; its answer to a change never arrives."""

    def post(self, path: str, body: Any) -> Any:
        super().post(path, body)
        raise LamplighterError("SERVER_UNREACHABLE", "The connection was lost.")


def test_a_tuf_client_accepts_what_was_published(tmp_path: Path, folder: Path, api: Api) -> None:
    init_keys(api, folder, PASSPHRASE)
    assert device(tmp_path, folder, api).get_targetinfo(DIRECTOR_KEYS_TARGET) is not None
    for release in (1, 2):
        assert next_release(api, "digits") == release
        bundle = make_bundle(release)
        publish_release(api, folder, PASSPHRASE, bundle, EVIDENCE)
        found = device(tmp_path, folder, api).get_targetinfo(manifest_target("digits", release))
        assert found is not None
        found.verify_length_and_hashes(bundle.manifest_raw)
        assert found.custom == {"model": "digits", "release": release}
    told = device(tmp_path, folder, api).get_targetinfo(evidence_target("digits", 2))
    assert told is not None
    told.verify_length_and_hashes(EVIDENCE)


def test_lost_answers_lose_nothing_and_repeats_change_nothing(
    tmp_path: Path, folder: Path, address: str, api: Api
) -> None:
    with LosesAnswers(address, TOKEN) as lossy:
        with pytest.raises(LamplighterError, match="SERVER_UNREACHABLE"):
            init_keys(lossy, folder, PASSPHRASE)
        init_keys(api, folder, PASSPHRASE)
        with pytest.raises(LamplighterError, match="SERVER_UNREACHABLE"):
            publish_release(lossy, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    published = api.get_bytes("/api/v1/trust/files/targets.json")
    for _ in range(2):
        publish_release(api, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert api.get_bytes("/api/v1/trust/files/targets.json") == published
    assert next_release(api, "digits") == 2
    publish_release(api, folder, PASSPHRASE, make_bundle(2), EVIDENCE)


def test_a_second_publisher_with_other_keys_is_refused(
    tmp_path: Path, folder: Path, api: Api
) -> None:
    init_keys(api, folder, PASSPHRASE)
    with pytest.raises(LamplighterError, match="CONFLICT"):
        init_keys(api, tmp_path / "other", PASSPHRASE)
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        publish_release(api, tmp_path / "other", PASSPHRASE, make_bundle(), EVIDENCE)


def test_without_a_token_or_a_server_the_reason_is_given(
    folder: Path, address: str, free_port: Callable[[], int]
) -> None:
    with Api(address) as stranger, pytest.raises(LamplighterError) as refused:
        init_keys(stranger, folder, PASSPHRASE)
    assert refused.value.code == "NOT_AUTHORISED"
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Api(nowhere, TOKEN) as nobody, pytest.raises(LamplighterError) as unreachable:
        next_release(nobody, "digits")
    assert unreachable.value.code == "SERVER_UNREACHABLE"
