"""What every test may use."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.softhsm import SoftHsm

settings.register_profile(
    "lamplighter",
    deadline=None,  # the machines of CI are shared and noisy
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("lamplighter")

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@pytest.fixture(scope="session")
def require_program() -> Callable[..., str]:
    """Find a program; where it is missing skip at home, but fail in CI."""

    def find(*names: str) -> str:
        path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/opt/homebrew/sbin"
        for name in names:
            if found := shutil.which(name, path=path):
                return found
        message = f"none of {names} is installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    return find


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port of the loopback interface that nobody uses now."""

    def pick() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return pick


@pytest.fixture
def softhsm(
    tmp_path: Path, require_program: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> SoftHsm:
    """A real PKCS#11 module with one token and no key."""
    hsm = SoftHsm(require_program("softhsm2-util"), tmp_path / "softhsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(hsm.config))
    hsm.add_token()
    return hsm
