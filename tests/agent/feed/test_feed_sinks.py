import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lamplighter_agent.feed.file import FileSink
from lamplighter_agent.feed.webhook import WebhookSink


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_results_are_appended_also_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for number in range(3):
        FileSink({"path": str(path)}).put({"key": number})
    assert [line["key"] for line in lines(path)] == [0, 1, 2]


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"key": 1}\n{"key"')
    FileSink({"path": str(path)}).put({"key": 3})
    assert path.read_bytes() == b'{"key": 1}\n{"key"\n{"key":3}\n'


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_files_are_rotated_and_none_grows_without_end(tmp_path: Path, keep: int) -> None:
    sink = FileSink({"path": str(tmp_path / "r"), "max_mb": 200 / 2**20, "keep": keep})
    for number in range(60):
        sink.put({"key": number})
    files = sorted(tmp_path.iterdir())
    assert len(files) == keep + 1
    assert all(file.stat().st_size <= 200 for file in files)
    kept = [line["key"] for file in [*reversed(files[1:]), files[0]] for line in lines(file)]
    assert kept == list(range(kept[0], 60))


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"."):
        FileSink({"path": str(tmp_path / "missing" / "r")}).put({})
    for wrong in ({"max_mb": 0.0}, {"keep": -1}, {"url": "x"}):
        with pytest.raises(ValueError, match=r"."):
            FileSink({"path": "r", **wrong})


class Door(BaseHTTPRequestHandler):
    status = 204
    heard: list[tuple[str | None, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((self.headers["Authorization"], json.loads(body)))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[tuple[str, type[Door]]]:
    kind = type("OneDoor", (Door,), {"heard": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", kind
        server.shutdown()


def test_results_are_posted_with_a_token(door: tuple[str, type[Door]], tmp_path: Path) -> None:
    url, kind = door
    (tmp_path / "token").write_text("secret\n")
    WebhookSink({"url": url, "token_file": str(tmp_path / "token")}).put({"key": "a"})
    WebhookSink({"url": url}).put({"key": "b"})
    assert kind.heard == [("Bearer secret", {"key": "a"}), (None, {"key": "b"})]


@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_everything_but_success_is_an_error(door: tuple[str, type[Door]], status: int) -> None:
    url, kind = door
    kind.status = status
    with pytest.raises(OSError, match=r"."):
        WebhookSink({"url": url}).put({})


def test_an_address_that_nobody_answers_or_that_is_none(free_port: Any) -> None:
    with pytest.raises(OSError, match=r"."):
        WebhookSink({"url": f"http://127.0.0.1:{free_port()}"}).put({})
    for wrong in ({"url": "file:///etc/passwd"}, {"url": "x"}, {"url": "http://a", "timeout_s": 0}):
        with pytest.raises(ValueError, match=r"."):
            WebhookSink(wrong)
