"""Beyond loopback the people's door speaks TLS, or does not open."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.app import check_people_door, run_server
from lamplighter_server.settings import Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "lamp.example"])  # noqa: S104
def test_plain_http_stays_on_loopback(host: str) -> None:
    with pytest.raises(LamplighterError, match="PLAIN_HTTP_REFUSED"):
        check_people_door(Settings(http_host=host))
    check_people_door(Settings(http_host=host, https=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_may_be_plain(host: str) -> None:
    check_people_door(Settings(http_host=host))


@pytest.mark.parametrize("given", ["https_certificate", "https_key"])
def test_a_certificate_goes_with_its_key(given: str) -> None:
    with pytest.raises(ValidationError, match="goes together"):
        Settings.model_validate({given: Path("x.pem")})


async def test_the_door_over_tls_with_our_own_authority(
    tmp_path: Path, free_port: Callable[[], int], require_program: Callable[..., str]
) -> None:
    require_program("mosquitto")
    settings = Settings(
        data_dir=tmp_path,
        http_port=free_port(),
        device_port=free_port(),
        broker_port=free_port(),
        https=True,
    )
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run_server(settings, ready.set_result))
    try:
        link = await asyncio.wait_for(ready, 60)
        assert link.startswith(f"https://127.0.0.1:{settings.http_port}/sign-in/link?key=")
        tls = ssl.create_default_context(cafile=str(tmp_path / "pki/ca.pem"))
        async with httpx.AsyncClient(verify=tls) as client:
            entered = await client.get(link)
            assert "Secure" in entered.headers["set-cookie"]
            assert "strict-transport-security" in entered.headers
            assert (await client.get(settings.console_address)).status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(link.replace("https", "http", 1))
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=30)
