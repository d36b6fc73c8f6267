"""Apply time of a release whose model has 20 MB, beside Debian's RAUC and mender-client.

Ours: the real agent in its own process with its defaults, reached in two ways. Carried: from the
start of `lamplighter-agent apply FILE` on a board without a network. Broker: from the signed
assignment, over TLS; the chunks come when the device's report asks for them. Timed by the journal,
until the agent has begun (`taken_up`), both sides of trust agree (`agreed`), every byte is verified
and durable (`durable`), a worker has loaded the model (`loaded`) and passed its self-test
(`tested`), and the release is committed after the shortest probation, which ends with the worker's
first sign of life (`committed`); and by asking, until the new release gives its first answer
(`answered`). The release before answers on until then.

Theirs: from the start of the command to its end. `rauc install` of a signed bundle in the format
`plain` into a raw slot, with its service up already: it checks the signature over the whole file
and syncs. `mender install` and `commit` of a signed artifact with the module for single files that
comes with it: it checks signature and digest, keeps a copy of the old file, and syncs the whole
system. Both end with a file on the disk: nothing is loaded, tested or served, and nobody is asked
whether this device shall have this release. So the ratios are ours over theirs until `durable`,
most of which the start of the command and the child process that verifies metadata take, not the
bytes. For the rest, a bare process stands beside it that loads the same file with ONNX Runtime and
answers once.

All take turns with the same random weights, which hardly compress (7 %) and are packed as they are,
on a disk and not in memory; medians. `sync_ms` tells how quick the disk makes 64 KiB durable.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil
import report
from boards import AGENT, LOOK_S, Board, Fleet
from onnx import TensorProto, helper, numpy_helper
from updaters import Mender, Rauc, UnavailableError, Updater

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.agent.cloud import DEVICE, Cloud
from tests.agent.recorder import Recorder
from tests.agent_worker.small_release import MODEL_FILE, Bundle, Images, digits, pack

from lamplighter_protocol.bundle import HealthPolicy

HEALTH: Final = HealthPolicy(probation_s=0)
HIDDEN: Final = 2200
SYNCS: Final = 50
DISK: Final = Path("/var/tmp")  # noqa: S108 - whoever uses it makes a folder of its own
OURS: Final = ("carried", "broker")
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
#: One answer by the same runtime with the options of our worker, and nothing around it.
BARE: Final = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
session.run(None, {"image": numpy.zeros((1, 64), numpy.float32)})
"""

Steps = dict[str, float]


def network(seed: int) -> bytes:
    """A reader of digits that has learnt nothing: three layers of random weights, 20 MB."""
    random, nodes, weights = np.random.default_rng(seed), [], []
    tensor = "image"
    for shape, ending in (
        ((64, HIDDEN), "Relu"),
        ((HIDDEN, HIDDEN), "Relu"),
        ((HIDDEN, 10), "Softmax"),
    ):
        values = random.normal(0, 1 / shape[0] ** 0.5, shape).astype(np.float32)
        weight, product = f"{tensor}-weights", f"{tensor}-product"
        weights.append(numpy_helper.from_array(values, weight))
        nodes.append(helper.make_node("MatMul", [tensor, weight], [product]))
        tensor = "probabilities" if ending == "Softmax" else product + "-relu"
        nodes.append(helper.make_node(ending, [product], [tensor]))
    nodes.append(helper.make_node("ArgMax", [tensor], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 64])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 10]),
        ],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    raw: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return raw


def make_release(number: int, images: Images) -> Bundle:
    """Release `number`, with other weights than any other."""
    bundle = pack(network(number), images)
    manifest = msgspec.structs.replace(bundle.manifest, release=number, health=HEALTH)
    return bundle._replace(manifest=manifest)


def settle() -> None:
    """Let no turn pay for what another has written."""
    os.sync()
    time.sleep(0.5)


def carry(server: Recorder, board: Board, bundle: Bundle, folder: Path) -> Steps:
    """Hand a release in as a file."""
    manifest = bundle.manifest
    server.assign(manifest.release, (server.add(manifest, bundle.files), manifest))
    file = server.write(folder / f"{DEVICE}.lamp")
    settle()
    started_mono = time.monotonic()
    command = [*AGENT, "apply", "--data-dir", str(board.data.path), str(file)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as handing:
        seen_s = board.follow(manifest.release, started_mono)
    assert handing.returncode == 0
    while board.data.carried.exists():
        time.sleep(LOOK_S)
    return seen_s


async def send(server: Cloud, board: Board, bundle: Bundle) -> Steps:
    """Assign a release over the broker."""
    manifest = bundle.manifest
    raw = server.add(manifest, bundle.files)
    await asyncio.to_thread(settle)
    started_mono = time.monotonic()
    server.assign(manifest.release, (raw, manifest))
    return await asyncio.to_thread(board.follow, manifest.release, started_mono)


def install(updater: Updater, payload: bytes) -> Steps:
    """Let another updater install the same model."""
    package = updater.pack(payload)
    settle()
    started_mono = time.monotonic()
    updater.install(package)
    taken_s = time.monotonic() - started_mono
    assert updater.installed(len(payload)) == payload, f"{updater.name} installed something else"
    return {"durable": taken_s}


def answer_once(folder: Path, payload: bytes) -> Steps:
    """Load the model in a bare process."""
    model = folder / MODEL_FILE
    model.write_bytes(payload)
    settle()
    started_mono = time.monotonic()
    subprocess.run([sys.executable, "-c", BARE, str(model)], check=True)
    return {"answered": time.monotonic() - started_mono}


async def measure(folder: Path, updaters: Sequence[Updater], rounds: int) -> dict[str, Steps]:
    """Take turns; the median seconds until each step, by who took it."""
    images, _ = digits()
    near, far = Fleet(folder / "near"), Fleet(folder / "far")
    recorder = Recorder(far.key.public_key(), far.seal)
    turns = []
    with near.broker_up():
        async with Cloud(near.broker.port, near.key.public_key(), near.seal, near.tls) as cloud:
            with (
                near.agent(folder / "connected", cloud.repository.root_bytes) as connected,
                far.agent(folder / "alone", recorder.repository.root_bytes) as alone,
            ):
                for number in range(1, rounds + 2):
                    report.progress(f"Round {number - 1} of {rounds}; 0 is not counted")
                    bundle = make_release(number, images)
                    payload = bundle.files[MODEL_FILE]
                    turn = {
                        "carried": await asyncio.to_thread(carry, recorder, alone, bundle, folder),
                        "broker": await send(cloud, connected, bundle),
                    }
                    for one in updaters:
                        turn[one.label] = await asyncio.to_thread(install, one, payload)
                    turn["bare onnxruntime"] = await asyncio.to_thread(answer_once, folder, payload)
                    turns.append(turn)
    return medians(turns[1:])


def medians(turns: Sequence[dict[str, Steps]]) -> dict[str, Steps]:
    """The median of each step."""
    return {
        who: {step: statistics.median(turn[who][step] for turn in turns) for step in steps}
        for who, steps in turns[0].items()
    }


def start(folder: Path, stack: ExitStack) -> tuple[list[Updater], dict[str, object]]:
    """The updaters that run here, and why the others do not."""
    running: list[Updater] = []
    missing: dict[str, object] = {}
    for updater in (Rauc(folder / "rauc"), Mender(folder / "mender")):
        try:
            running.append(stack.enter_context(updater))
        except UnavailableError as error:  # noqa: PERF203 - there are two
            report.progress(f"Without {updater.name}: {error}")
            missing[updater.name] = f"not measured: {error}"
    return running, missing


def sync_ms(folder: Path) -> float:
    """What it costs to make one chunk durable."""
    taken_ms = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            started_mono = time.monotonic()
            file.write(os.urandom(65_536))
            os.fdatasync(file.fileno())
            taken_ms.append(1000 * (time.monotonic() - started_mono))
    return statistics.median(taken_ms)


def file_system(folder: Path) -> str:
    """The kind of file system that a folder lies on."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return str(next(mounts[place] for place in (folder, *folder.parents) if place in mounts))


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="(default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=DISK, help="(default: %(default)s)")
    chosen = parser.parse_args()
    kind = file_system(chosen.folder.resolve())
    if kind in IN_MEMORY:
        sys.exit(f"{chosen.folder} is in memory ({kind}): choose a disk with --folder")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name, ExitStack() as stack:
        folder = Path(name)
        running, missing = start(folder, stack)
        found = asyncio.run(measure(folder, running, chosen.rounds))
        disk = {"file_system": kind, "sync_ms": round(sync_ms(folder), 2)}
    ratios = {
        f"{way}_durable_vs_{one.name}": found[way]["durable"] / found[one.label]["durable"]
        for way in OURS
        for one in running
    }
    rounded = {
        who: {f"{step}_s": round(seconds, 3) for step, seconds in steps.items()}
        for who, steps in found.items()
    }
    report.publish(
        "apply",
        figures={
            **{f"{way}_{step}": seconds for way in OURS for step, seconds in rounded[way].items()},
            **{name: round(ratio, 2) for name, ratio in ratios.items()},
            **disk,
            "rounds": chosen.rounds,
        },
        peers={who: steps for who, steps in rounded.items() if who not in OURS} | missing,
        packages=("lamplighter-agent", "onnxruntime"),
    )


if __name__ == "__main__":
    main()
