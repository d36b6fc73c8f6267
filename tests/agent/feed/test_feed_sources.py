import json
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from lamplighter_agent.feed.camera import CameraSource
from lamplighter_agent.feed.folder import FolderSource
from lamplighter_agent.feed.mqtt import MqttSink, MqttSource
from lamplighter_agent.ports.feed import Item


def folder(path: Path, /, **keys: Any) -> FolderSource:
    return FolderSource({"path": str(path), "settle_s": 0.05, "poll_s": 0.01} | keys)


def names(path: Path) -> set[str]:
    return {file.name for file in path.iterdir() if file.is_file()}


def test_files_come_once_each_and_are_moved(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("[1, 2]")
    np.save(tmp_path / "c.npy", np.arange(2))
    (tmp_path / "d.exe").write_text("no rows")
    source = folder(tmp_path)
    for item in islice(source.items(), 4):
        ok = True
        try:
            item.read()
        except ValueError:
            ok = False
        source.done(item, ok=ok)
    assert names(tmp_path) == set()
    assert names(tmp_path / "done") == {"a.json", "b.json", "c.npy"}
    assert names(tmp_path / "failed") == {"d.exe"}


def test_what_was_not_done_comes_again_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    (first,) = islice(folder(tmp_path).items(), 1)  # and the process ends
    source = folder(tmp_path, after="delete")
    (again,) = islice(source.items(), 1)
    assert (first.key, again.key) == ("a.json", "a.json")
    source.done(again, ok=True)
    assert names(tmp_path) == set()


def test_a_file_is_waited_for_until_it_is_written(tmp_path: Path) -> None:
    (tmp_path / ".hidden.json").write_text("[1]")
    (tmp_path / "copied.json.part").write_text("[1]")
    (tmp_path / "nowhere.json").symlink_to("gone")
    source = folder(tmp_path, settle_s=0.3)
    content = json.dumps([list(range(500))])
    whole = threading.Event()

    def write_slowly() -> None:
        with (tmp_path / "slow.json").open("w") as file:
            for at in range(0, len(content), 200):
                file.write(content[at : at + 200])
                file.flush()
                whole.wait(0.03)

    writing = threading.Thread(target=write_slowly)
    writing.start()
    (item,) = islice(source.items(), 1)
    writing.join()
    assert item.key == "slow.json"
    read = item.read()
    assert isinstance(read, np.ndarray)
    assert read.shape == (1, 500)


def test_a_file_that_is_gone_or_too_large_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamplighter_agent.feed.folder.MAX_CONTENT_BYTES", 100)
    (tmp_path / "a.json").write_text("[1]" + " " * 200)
    source = folder(tmp_path)
    (item,) = islice(source.items(), 1)
    with pytest.raises(ValueError, match="more than"):
        item.read()
    (tmp_path / "a.json").unlink()
    source.done(item, ok=False)
    assert names(tmp_path / "failed") == set()


def test_pictures_need_to_be_asked_for(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    (item,) = islice(folder(tmp_path).items(), 1)
    with pytest.raises(ValueError, match=r"\.png"):
        item.read()
    picture = {"height": 3, "width": 3, "layout": "flat"}
    (item,) = islice(folder(tmp_path, picture=picture).items(), 1)
    read = item.read()
    assert isinstance(read, np.ndarray)
    assert read.shape == (9,)


@pytest.mark.parametrize(
    "keys",
    [{"path": 7}, {"settle_s": -1.0}, {"poll_s": 0.0}, {"after": "keep"}, {"unknown": 1}],
)
def test_a_wrong_table_is_refused(tmp_path: Path, keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        folder(tmp_path, **keys)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 16))
    for level in range(0, 250, 25):
        writer.write(np.full((16, 32, 3), level, np.uint8))
    writer.release()
    return path


def test_frames_of_a_camera_are_taken_until_it_gives_none(video: Path) -> None:
    picture = {"height": 4, "width": 8, "layout": "flat"}
    source = CameraSource({"device": str(video), "interval_s": 0.0, "picture": picture})
    frames = source.items()
    reads = [np.asarray(item.read()) for item in islice(frames, 10)]
    assert {read.shape for read in reads} == {(32,)}
    levels = [float(read.mean()) for read in reads]
    assert levels == sorted(levels)
    with pytest.raises(OSError, match="no frame"):
        next(frames)
    with pytest.raises(ValueError, match="interval_s"):
        CameraSource({"interval_s": -1.0, "picture": picture})


def client(port: int, subscribe: str | None = None) -> tuple[paho.Client, list[bytes]]:
    heard: list[bytes] = []
    made = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    made.on_message = lambda _client, _userdata, message: heard.append(bytes(message.payload))
    made.connect("127.0.0.1", port)
    made.loop_start()
    if subscribe:
        made.subscribe(subscribe, qos=1)
    return made, heard


def source(port: int) -> MqttSource:
    return MqttSource({"topic": "in/#", "port": port, "client_id": "feed-1"})


def publish(port: int, *payloads: bytes) -> None:
    sender, _ = client(port)
    for payload in payloads:
        sender.publish("in/a", payload, qos=1).wait_for_publish(5)
    sender.disconnect()
    sender.loop_stop()


def take(items: Iterator[Item]) -> Item:
    return next(items)


def test_messages_wait_at_the_broker_until_they_are_done(mosquitto: int) -> None:
    first = source(mosquitto)
    items = first.items()
    asking: list[Item] = []
    waiting = threading.Thread(target=lambda: asking.append(next(items)))
    waiting.start()
    while waiting.is_alive():  # it subscribes first
        publish(mosquitto, b"[0]")
        waiting.join(0.2)
    first.done(asking[0], ok=True)
    publish(mosquitto, b"[7]")
    contents: list[Any] = []
    while contents[-1:] != [[7]]:
        item = take(items)
        contents.append(np.asarray(item.read()).tolist())
        if contents[-1] != [7]:
            first.done(item, ok=True)
    items.close()  # type: ignore[attr-defined] # it ends before the result has arrived anywhere
    publish(mosquitto, b"[8]", b"no rows")
    second = source(mosquitto)
    items = second.items()
    again = []
    for _ in range(3):
        item = take(items)
        try:
            again.append(np.asarray(item.read()).tolist())
        except ValueError:
            again.append(["refused"])
        second.done(item, ok=again[-1] != ["refused"])
    assert again == [[7], [8], ["refused"]]
    items.close()  # type: ignore[attr-defined]


def test_results_are_published_and_a_lost_broker_is_an_error(
    mosquitto: int, free_port: Any
) -> None:
    listener, heard = client(mosquitto, "out")
    sink = MqttSink({"topic": "out", "port": mosquitto})
    while not heard:  # the subscription may come later than the first result
        sink.put({"key": "a"})
    assert json.loads(heard[0]) == {"key": "a"}
    listener.disconnect()
    listener.loop_stop()
    with pytest.raises(OSError, match=r"."):
        MqttSink({"topic": "out", "port": free_port()}).put({"key": "a"})
