"""What one idle agent costs at its defaults: memory, processor time and bytes on the wire.

A real server, its broker and one enrolled agent that serves the demo's digit reader with ONNX
Runtime; nobody asks it anything. The agent's connection runs through a relay of ours, whose kernel
counts payload and segments: with 52 bytes of IPv4 and TCP headers to each segment that is what a
link would carry. The length of a measurement holds whole windows (5 minutes) and vitals (15).
Private memory is what the process alone has; the rest are pages of libraries, which the kernel
shares and takes back.

Beside it: Debian's mender-client, as its daemon without a server, which is all that runs here: it
holds no connection, runs no model, and sleeps until its next poll, half an hour by default. Its
traffic needs a Mender server and is not measured. `--mender-deb` names a downloaded package.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import report

from lamplighter_server.demo.fleet import roll_out, signed_reports
from lamplighter_server.demo.processes import Processes
from lamplighter_server.demo.stage import HEALTH, Stage
from lamplighter_server.demo.view import View
from lamplighter_server.publishing.client import init_keys, publish_release
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import build_release
from lamplighter_server.training.run import run_experiment

DEVICE = "meter-01"
MONTH_S = 30 * 86_400
HEADERS_BYTES = 52
#: Offsets in struct tcp_info (linux/tcp.h): bytes_acked, bytes_received, segs_out, segs_in.
_TCP_INFO = struct.Struct("@120xQQII")


class DefaultStage(Stage):
    """The demo's stage with a server and an agent that nobody has told anything."""

    def _run(self, name: str, arguments: list[str]) -> None:
        shortened = {"--window-s", "--config"}
        kept = [
            word
            for before, word in zip(["", *arguments], arguments, strict=False)
            if word not in shortened and before not in shortened
        ]
        self.processes.start(name, [sys.executable, *kept], dict(os.environ))


class Relay:
    """Passes one connection on, and knows what its agent's side has carried."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._agent: Any = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _pass(self, agent: asyncio.StreamReader, to_agent: asyncio.StreamWriter) -> None:
        broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._agent = to_agent.get_extra_info("socket")
        await asyncio.gather(_pump(agent, to_broker), _pump(broker, to_agent))

    def wire_bytes(self) -> int:
        """What both directions have carried since the connection was made."""
        raw = self._agent.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        acked, received, segments_out, segments_in = _TCP_INFO.unpack(raw)
        return int(acked + received + HEADERS_BYTES * (segments_out + segments_in))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def come_up(stage: Stage) -> None:
    """Server, keys, one release, one enrolled device."""
    stage.start_server()
    init_keys(stage.api, stage.keys_dir, stage.passphrase)
    reply = stage.api.post("/api/v1/devices/invitations", {"device": DEVICE, "labels": {}})
    done = stage.enrol(DEVICE, reply["invitation"])
    assert done.returncode == 0, done.stderr
    run = run_experiment(RECIPES["baseline"], report.progress)
    built = build_release(run, 1, HEALTH)
    publish_release(stage.api, stage.keys_dir, stage.passphrase, built.bundle, built.evidence_raw)


def through(stage: Stage, relay_port: int) -> int:
    """Let the device's connection run through the relay; returns the broker's port."""
    place = stage.data_dir(DEVICE) / "identity" / "enrolment.json"
    enrolment = json.loads(place.read_text())
    port = int(enrolment["broker_port"])
    place.write_text(json.dumps({**enrolment, "broker_port": relay_port}))
    return port


def commit(stage: Stage) -> None:
    """Start the agent and wait until it has committed the release."""
    stage.start_agent(DEVICE)
    roll_out(stage.api, 1, ["100%"], 120)
    stage.wait(
        "the release to be committed",
        lambda: any(item.committed == 1 for item in signed_reports(stage.api, "main")),
    )


def cpu_s(processes: list[psutil.Process]) -> float:
    """Processor time that they have used."""
    times = [one.cpu_times() for one in processes]
    return float(sum(item.user + item.system for item in times))


def mender(deb: Path | None, folder: Path, seconds: float) -> dict[str, Any] | str:
    """The daemon of Debian's mender-client, idle, without a server; why not if it is missing."""
    program = shutil.which("mender")
    if program is None and deb is not None:
        subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], check=True)
        program = str(folder / "usr/bin/mender")
    if program is None:
        return "not measured: it is not installed"
    (folder / "data").mkdir()
    (folder / "device_type").write_text("device_type=bench\n")
    (folder / "mender.conf").write_text(
        json.dumps(
            {"DeviceTypeFile": str(folder / "device_type"), "ServerURL": "https://127.0.0.1:1"}
        )
    )
    daemon = subprocess.Popen(
        [
            *(program, "--no-syslog", "--log-level", "error"),
            *("--config", str(folder / "mender.conf"), "--data", str(folder / "data"), "daemon"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(5)
        process = psutil.Process(daemon.pid)
        before_s = cpu_s([process])
        time.sleep(seconds)
        return {
            "rss_mb": round(process.memory_info().rss / 2**20, 1),
            "idle_cpu_percent": round(100 * (cpu_s([process]) - before_s) / seconds, 3),
        }
    finally:
        daemon.kill()
        daemon.wait()


async def measure(stage: Stage, minutes: float) -> dict[str, Any]:
    """Run the whole and look at it."""
    relay = Relay(0)
    await relay.start()
    await asyncio.to_thread(come_up, stage)
    relay._broker_port = through(stage, relay.port)  # noqa: SLF001 - known only now
    await asyncio.to_thread(commit, stage)
    report.progress("waiting for the noise of the start to settle")
    await asyncio.sleep(20)
    supervisor = psutil.Process(stage.processes.pid(DEVICE))
    workers = supervisor.children(recursive=True)
    start_bytes, connect_bytes = relay.wire_bytes(), relay.wire_bytes()
    cpu_before = {"supervisor": cpu_s([supervisor]), "worker": cpu_s(workers)}
    started_mono = time.monotonic()
    report.progress(f"looking at an idle agent for {minutes:g} minutes")
    await asyncio.sleep(minutes * 60)
    seconds = time.monotonic() - started_mono
    used = {
        "supervisor": cpu_s([supervisor]) - cpu_before["supervisor"],
        "worker": cpu_s(workers) - cpu_before["worker"],
    }
    supervisor_mb = supervisor.memory_info().rss / 2**20
    workers_mb = sum(one.memory_info().rss for one in workers) / 2**20
    wire_bytes = relay.wire_bytes() - start_bytes
    return {
        "supervisor_rss_mb": round(supervisor_mb, 1),
        "supervisor_private_mb": round(supervisor.memory_full_info().uss / 2**20, 1),
        "worker_rss_mb": round(workers_mb, 1),
        "total_rss_mb": round(supervisor_mb + workers_mb, 1),
        "idle_cpu_percent": round(100 * sum(used.values()) / seconds, 3),
        "idle_cpu_percent_by_process": {
            name: round(100 * value / seconds, 3) for name, value in used.items()
        },
        "idle_mb_per_month": round(wire_bytes / seconds * MONTH_S / 1e6, 2),
        "start_kb": round(connect_bytes / 1e3, 1),
        "measured_minutes": round(seconds / 60, 1),
    }


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--mender-deb", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        (folder / "mender").mkdir()
        with Processes(folder / "logs") as processes:
            stage = DefaultStage(folder, 1, processes, View([]))
            figures = asyncio.run(measure(stage, chosen.minutes))
        peer = mender(chosen.mender_deb, folder / "mender", 60)
    report.publish(
        "footprint",
        figures=figures,
        peers={"mender-client 3.4 daemon": peer},
        packages=("lamplighter-agent", "onnxruntime", "cryptography", "paho-mqtt", "msgspec"),
    )


if __name__ == "__main__":
    main()
