import socket
import stat
from pathlib import Path

import pytest

from lamplighter_agent.app.sockets import ModelSockets
from lamplighter_protocol.errors import LamplighterError


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def test_only_user_and_group_may_connect(tmp_path: Path) -> None:
    sockets = ModelSockets("digits", tmp_path, 0)
    path = tmp_path / "digits.sock"
    assert sockets.unix_path == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert answers(path)
    assert len(sockets.fds) == 2
    sockets.close()
    assert not path.exists()


def test_what_a_dead_agent_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "digits.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.is_socket()
    sockets = ModelSockets("digits", tmp_path, 0)
    assert answers(path)
    sockets.close()


def test_the_socket_of_a_living_program_is_left_alone(tmp_path: Path) -> None:
    sockets = ModelSockets("digits", tmp_path, 0)
    with pytest.raises(LamplighterError, match="PORT_IN_USE"):
        ModelSockets("digits", tmp_path, 0)
    assert answers(tmp_path / "digits.sock")
    sockets.close()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "digits.sock"
    if kind == "file":
        path.write_text("mine")
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(LamplighterError, match="PORT_IN_USE"):
        ModelSockets("digits", tmp_path, 0)
    assert path.is_symlink() or path.exists()


def test_a_path_that_is_too_long_leaves_the_port(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 40)
    folder.mkdir()
    sockets = ModelSockets("digits", folder, 0)
    assert sockets.unix_path is None
    assert len(sockets.fds) == 1
    sockets.close()


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(LamplighterError, match="PORT_IN_USE"),
    ):
        ModelSockets("digits", tmp_path, other.getsockname()[1])
    assert not list(tmp_path.iterdir())
