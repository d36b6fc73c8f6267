import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from tests.server.cli.running import Up, run


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, lamplighter_server.cli.app;"
        "heavy = {'fastapi', 'sqlalchemy', 'sklearn', 'numpy', 'tuf', 'httpx', 'pydantic'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_usage_errors_end_with_2_and_refusals_with_1() -> None:
    assert run("--version").stdout.strip().count(".") == 2
    assert run("nonsense").returncode == 2
    assert run("device", "show").returncode == 2
    assert run("up", "--fleet", "No Name").returncode == 2
    refused = run("device", "ls", LAMPLIGHTER_SERVER="http://127.0.0.1:9")
    assert refused.returncode == 1
    assert refused.stderr.startswith("SERVER_UNREACHABLE: http://127.0.0.1:9 does not answer")
    assert refused.stderr.strip().endswith("or name it with --server.")


def test_a_person_starts_looks_around_and_stops(up: Up) -> None:
    assert (up.data_dir / "lamplighter.db").stat().st_mode & 0o077 == 0
    assert json.loads(up.run("device", "ls", "--json").stdout) == []
    assert json.loads(up.run("model", "ls", "--json").stdout) == []
    refused = up.run("device", "invite", "cam-1")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("TRUST_MISSING: ")
    wrong = up.run("device", "invite", "cam-1", LAMPLIGHTER_TOKEN="wrong")
    assert wrong.stderr.startswith("NOT_AUTHORISED: ")
    assert up.run("device", "show", "ghost").stderr.startswith("DEVICE_UNKNOWN: ")
    assert up.run("device", "invite", "cam-1", "--label", "site").returncode == 2

    nobody = run("--server", up.address, "device", "ls", LAMPLIGHTER_DATA_DIR="/nowhere")
    assert nobody.stderr.startswith("NOT_AUTHORISED: ")

    second = run("up", "--data-dir", str(up.data_dir), *up.ports)
    assert second.returncode == 1
    assert second.stderr.startswith(f"PORT_IN_USE: 127.0.0.1:{up.ports[1]} (--port)")

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 0
    for port in up.ports[1::2]:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_people_by_command(up: Up) -> None:
    password = {"LAMPLIGHTER_PASSWORD": "correct horse battery"}
    options = ("--role", "operator", "--label", "site=harbour", "--json")
    made = json.loads(up.run("user", "add", "anna", *options, **password).stdout)
    assert (made["role"], made["labels"], made["has_password"]) == (
        *("operator", {"site": "harbour"}),
        True,
    )
    token = up.run("token", "create", "reports", "--user", "anna", **password).stdout.strip()
    assert token.startswith("lamp_")
    as_anna = {"LAMPLIGHTER_TOKEN": token}
    assert json.loads(up.run("device", "ls", "--json", **as_anna).stdout) == []
    assert up.run("user", "ls", **as_anna).stderr.startswith("ROLE_MISSING: ")
    listed = json.loads(up.run("token", "ls", "--json").stdout)
    assert [(item["user"], item["purpose"]) for item in listed] == [("anna", "reports")]
    assert up.run("token", "revoke", listed[0]["id"]).returncode == 0
    assert up.run("device", "ls", **as_anna).stderr.startswith("NOT_AUTHORISED: ")
    assert "approver" in up.run("user", "role", "anna", "approver").stdout
    assert "password" in up.run("user", "password", "anna", **password).stdout
    assert "disabled" in up.run("user", "disable", "anna").stdout
    refused = up.run("token", "create", "more", "--user", "anna", **password)
    assert refused.stderr.startswith("SIGN_IN_FAILED: ")
    assert "disabled" not in up.run("user", "enable", "anna").stdout
    assert "anna" in up.run("user", "ls").stdout
    assert up.run("user", "show", "ghost").stderr.startswith("NOT_FOUND: ")
    assert up.run("user", "identity", "anna", "7").stderr.startswith("CONFLICT: ")
    assert up.run("user", "disable", "admin").stderr.startswith("CONFLICT: ")
    assert up.run("login").stdout.startswith(f"{up.address}/sign-in/link?key=")
    plain = run("up", "--host", "0.0.0.0", LAMPLIGHTER_DATA_DIR=str(up.data_dir))  # noqa: S104
    assert plain.stderr.startswith("PLAIN_HTTP_REFUSED: ")


def test_the_broker_ends_even_if_the_server_is_killed(
    up: Up, require_program: Callable[..., str]
) -> None:
    require_program("setpriv")
    up.process.kill()
    up.process.wait(30)
    end_mono = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(up.ports[5]))) != 0:
                break
        assert time.monotonic() < end_mono
        time.sleep(0.05)
