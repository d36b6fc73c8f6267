"""`lamplighter-agent tuf` against a real HTTP server, also one that cheats."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.agent.tuf_repository import Repository

from lamplighter_agent.app.cli import main
from lamplighter_agent.trust.http import HttpFetch
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError


class Server(ThreadingHTTPServer):
    """Serves `metadata/` and `targets/`; `answers` replaces the answer for a path."""

    daemon_threads = True

    def __init__(self, repository: Repository) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repository = repository
        self.targets: dict[str, bytes] = {}
        self.answers: dict[str, list[bytes]] = {}
        self.asked: list[str] = []
        self.stopping = threading.Event()

    def url(self, folder: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{folder}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        folder, _, name = self.path[1:].partition("/")
        self.server.asked.append(name)
        if name in self.server.answers:
            for part in self.server.answers[name]:
                self.wfile.write(part)
                self.server.stopping.wait(0.05)
            return
        held = self.server.repository.files if folder == "metadata" else self.server.targets
        raw = held.get(name if folder == "metadata" else unquote(name))
        if raw is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(repository: Repository) -> Iterator[Server]:
    server = Server(repository)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield server
    server.stopping.set()
    server.shutdown()
    serving.join()
    server.server_close()


class Command:
    def __init__(self, path: Path, server: Server) -> None:
        self.metadata, self.targets = path / "metadata", path / "targets"
        self.metadata.mkdir()
        self.targets.mkdir()
        self.server = server
        root = path / "first.json"
        root.write_bytes(server.repository.root_bytes)
        assert self.run("init", str(root)) == 0

    def run(self, *step: str, names: tuple[str, ...] = ()) -> int:
        return main(
            [
                *("tuf", "--metadata-dir", str(self.metadata)),
                *("--metadata-url", self.server.url("metadata")),
                *("--target-base-url", self.server.url("targets")),
                *("--target-dir", str(self.targets)),
                *(word for name in names for word in ("--target-name", name)),
                *step,
            ]
        )

    def version(self, role: str) -> int:
        version: int = json.loads((self.metadata / f"{role}.json").read_bytes())["signed"][
            "version"
        ]
        return version

    @property
    def roles(self) -> set[str]:
        return {path.stem for path in self.metadata.glob("*.json")}


@pytest.fixture
def command(tmp_path: Path, server: Server) -> Command:
    return Command(tmp_path, server)


def test_the_folder_shows_the_roles_and_nothing_else_through_rotations(
    command: Command, server: Server
) -> None:
    for version in (2, 3, 4):
        server.repository.rotate("timestamp")
        server.repository.publish_root()
        server.repository.publish()
        assert command.run("refresh") == 0
        assert command.version("root") == version
    shown = {path.name for path in command.metadata.iterdir() if path.is_symlink()}
    assert {f"{role}.json" for role in command.roles} | {"current"} == shown


def test_roles_stand_in_the_folder_under_their_names(command: Command) -> None:
    assert command.roles == {"root"}
    assert command.server.asked == []
    assert command.run("refresh") == 0
    assert command.roles == {"root", "timestamp", "snapshot", "targets"}
    command.server.repository.publish()
    assert command.run("refresh") == 0
    assert command.version("targets") == 2


def test_a_refusal_keeps_what_was_verified_before_it(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    del command.server.repository.files["1.targets.json"]
    assert command.run("refresh") == 1
    assert command.roles == {"root", "timestamp", "snapshot"}
    assert capsys.readouterr().err.startswith("TRUST_MISSING: 1.targets.json")


def test_without_a_trusted_root_nothing_is_asked(command: Command, tmp_path: Path) -> None:
    command.metadata = tmp_path / "elsewhere"
    assert command.run("refresh") == 1
    assert command.server.asked == []


@pytest.mark.parametrize("path", ["file.txt", "a/b/file 1.txt", "../é?#%41/f"])
def test_a_target_is_brought_once(command: Command, path: str) -> None:
    repository, server = command.server.repository, command.server
    repository.put(path, b"content")
    repository.publish()
    folder, slash, name = path.rpartition("/")
    prefixed = unquote(f"{folder}{slash}{sha256(b'content')}.{name}")
    server.targets[prefixed] = b"content"
    assert command.run("download", names=(path,)) == 0
    (brought,) = command.targets.rglob("*")
    assert brought.read_bytes() == b"content"
    server.targets.clear()
    assert command.run("download", names=(path,)) == 0
    server.targets[prefixed] = b"CONTENT"
    brought.unlink()
    assert command.run("download", names=(path,)) == 1
    assert list(command.targets.iterdir()) == []


def test_the_first_target_that_fails_ends_the_command(command: Command) -> None:
    assert command.run("download", names=("nowhere", "file.txt")) == 1


def fetch_from(server: Server, answer: list[bytes], *, deadline_s: float = 5.0) -> bytes | None:
    server.answers["x"] = answer
    return HttpFetch(server.url("metadata"), deadline_s)("x", 100)


OK = b"HTTP/1.0 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ([OK + b"\r\n" + b"x" * 101], "MESSAGE_TOO_LARGE"),
        ([OK + b"Content-Length: 999999999999\r\n\r\n" + b"x" * 101], "MESSAGE_TOO_LARGE"),
        ([OK + b"Content-Length: 50\r\n\r\n", b"x" * 20], "FETCH_STALLED"),
        ([b"HTTP/1.0 302 Found\r\nLocation: /metadata/1.root.json\r\n\r\n"], "FETCH_STALLED"),
        ([b"HTTP/1.0 500 Oops\r\n\r\n"], "FETCH_STALLED"),
        ([b"SSH-2.0-x\r\n"], "FETCH_STALLED"),
        ([OK + b"X: " + b"y" * 70_000], "FETCH_STALLED"),
        ([], "FETCH_STALLED"),
    ],
)
def test_what_a_server_sends_is_bounded(server: Server, answer: list[bytes], code: str) -> None:
    with pytest.raises(LamplighterError) as refused:
        fetch_from(server, answer)
    assert refused.value.code == code


@pytest.mark.parametrize("head", [[OK, b"\r\n"], [b"H", b"T", b"T", b"P"]])
def test_slow_retrieval_ends_at_the_deadline(server: Server, head: list[bytes]) -> None:
    started_mono = time.monotonic()
    with pytest.raises(LamplighterError, match="FETCH_STALLED"):
        fetch_from(server, [*head, *[b"x"] * 60], deadline_s=0.3)
    assert time.monotonic() - started_mono < 2


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(LamplighterError, match="FETCH_STALLED"):
        HttpFetch("http://127.0.0.1:1/")("x", 1)
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        HttpFetch("file:///etc/passwd")
