"""What every runtime must do, in every precision; a new one is added to MODELS and RUNTIMES."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent_worker import linear_models
from tests.agent_worker.linear_models import Y_SCALE, expected

from lamplighter_agent.ports.session import LoadedModel
from lamplighter_agent.runtime.accelerators import ACCELERATORS, CPU, choose
from lamplighter_agent.runtime.load import RUNTIMES, load
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.errors import LamplighterError

Floats = npt.NDArray[np.float32]
MODELS: dict[tuple[Runtime, str], Callable[[], bytes]] = {
    ("onnxruntime", "float"): linear_models.onnx_float,
    ("onnxruntime", "int8"): linear_models.onnx_int8,
    ("litert", "float"): linear_models.litert_float,
    ("litert", "int8"): linear_models.litert_int8,
}
TOLERANCE = {"float": 1e-5, "int8": 2 * Y_SCALE}


class Case:
    """A loaded model, and how close it must come."""

    def __init__(self, runtime: Runtime, precision: str) -> None:
        self.runtime = runtime
        self.raw = MODELS[runtime, precision]()
        self.tolerance = TOLERANCE[precision]
        self.session: LoadedModel = load(runtime, self.raw)

    def check(self, x: Floats) -> Floats:
        answer = self.session.run({"x": x})
        assert answer.keys() == {"y"}
        y = answer["y"]
        assert y.dtype == np.float32
        assert y.shape == (len(x), 3)
        np.testing.assert_allclose(y, expected(x), atol=self.tolerance)
        return y


@pytest.fixture(scope="module", params=MODELS, ids=" ".join)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def rows(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(-2, 2, (count, 4)).astype(np.float32)


def test_every_runtime_has_its_models() -> None:
    assert {runtime for runtime, _ in MODELS} == set(RUNTIMES)
    assert {precision for _, precision in MODELS} == set(TOLERANCE)


@given(sizes=st.lists(st.integers(1, 33), min_size=1, max_size=5))
def test_batches_of_any_size_may_follow_each_other(case: Case, sizes: list[int]) -> None:
    for seed, size in enumerate(sizes):
        case.check(rows(size, seed))


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"x": np.zeros((2, 5), np.float32)},
        {"x": np.zeros((2, 3), np.float32)},
        {"x": np.zeros(4, np.float32)},
        {"x": np.zeros((1, 1, 4), np.float32)},
        {"x": np.zeros((), np.float32)},
        {"x": np.zeros((1, 4), np.float64)},
        {"x": np.zeros((1, 4), np.int8)},
        {"x": np.zeros((1, 4), bool)},
        {"x": np.array([["a", "b", "c", "d"]])},
        {"x": np.array([["a", "b", "c", "d"]], dtype=object)},
        {"another": np.zeros((1, 4), np.float32)},
        {"x": np.zeros((1, 4), np.float32), "more": np.zeros(1, np.float32)},
    ],
    ids=lambda bad: " ".join(f"{name}{a.shape}{a.dtype}" for name, a in bad.items()) or "nothing",
)
def test_what_it_does_not_take_has_a_code_and_does_no_harm(
    case: Case, bad: dict[str, npt.NDArray[np.generic]]
) -> None:
    with pytest.raises(LamplighterError) as refused:
        case.session.run(bad)
    assert refused.value.code == "INFERENCE_FAILED"
    case.check(rows(3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_number_harms_the_next_request(case: Case, value: float) -> None:
    x = rows(3)
    x[1] = value
    y = case.session.run({"x": x})["y"]
    assert y.shape == (3, 3)
    np.testing.assert_allclose(y[::2], expected(x[::2]), atol=case.tolerance)
    case.check(rows(3))


def test_arrays_of_any_layout_are_taken(case: Case) -> None:
    x = rows(6)
    case.check(np.asfortranarray(x))
    case.check(x[::2])
    case.check(x[::-1])
    x.flags.writeable = False
    case.check(x)


def test_an_answer_is_not_changed_by_the_next_one(case: Case) -> None:
    first = case.check(rows(4, seed=1))
    kept = first.copy()
    case.check(rows(4, seed=2))
    assert np.array_equal(first, kept)
    first[:] = 0
    case.check(rows(4, seed=1))


def test_the_same_question_has_the_same_answer(case: Case) -> None:
    x = rows(9)
    wanted = case.check(x).tobytes()
    assert all(case.check(x).tobytes() == wanted for _ in range(20))
    assert load(case.runtime, case.raw).run({"x": x})["y"].tobytes() == wanted


def test_threads_may_share_a_session(case: Case) -> None:
    wrong = []

    def ask_on(seed: int) -> None:
        for step in range(100):
            try:
                case.check(rows(1 + (seed + step) % 7, seed))
            except (AssertionError, LamplighterError) as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask_on, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_starts_no_threads(case: Case) -> None:
    before = psutil.Process().num_threads()
    kept = [load(case.runtime, case.raw) for _ in range(4)]
    for session in kept:
        session.run({"x": rows(8)})
    assert psutil.Process().num_threads() <= before


def test_what_is_let_go_of_is_freed(case: Case) -> None:
    for _ in range(20):
        load(case.runtime, case.raw).run({"x": rows(8)})
    before = psutil.Process().memory_info().rss
    for _ in range(300):
        load(case.runtime, case.raw).run({"x": rows(8)})
    grown_mb = (psutil.Process().memory_info().rss - before) / 2**20
    assert grown_mb < 300 * len(case.raw) / 2**20 + 8


def test_files_and_bytes_are_the_same(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(case.raw)
    x = rows(3)
    answer = load(case.runtime, path).run({"x": x})["y"]
    assert answer.tobytes() == case.check(x).tobytes()


_TRY_DAMAGED = """
import sys
from pathlib import Path
import numpy as np
from lamplighter_agent.runtime.load import load
from lamplighter_protocol.errors import LamplighterError
raw, runtime, seed = Path(sys.argv[1]).read_bytes(), sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(seed)
for turn in range(60):
    damaged = bytearray(raw)
    if turn % 2:
        damaged = damaged[: int(rng.integers(len(raw)))]
    else:
        for at in rng.integers(len(raw), size=3):
            damaged[at] = int(rng.integers(256))
    try:
        load(runtime, bytes(damaged)).run({"x": np.zeros((2, 4), np.float32)})
    except LamplighterError as error:
        assert error.code in {"MODEL_LOAD_FAILED", "INFERENCE_FAILED"}, error
"""


def test_a_damaged_file_is_refused_or_ends_this_process_only(case: Case, tmp_path: Path) -> None:
    """A worker that a model kills is one more lost worker; anything but that has a code."""
    path = tmp_path / "model"
    path.write_bytes(case.raw)
    done = subprocess.run(
        [sys.executable, "-c", _TRY_DAMAGED, str(path), case.runtime, "7"],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode <= 0, done.stderr.decode()
    for cut in (0, 1, 8, len(case.raw) // 2):
        with pytest.raises(LamplighterError) as refused:
            load(case.runtime, case.raw[:cut])
        assert refused.value.code == "MODEL_LOAD_FAILED"


@pytest.mark.parametrize("accelerator", ["cuda", "tensorrt"])
def test_without_the_accelerator_it_answers_on_the_cpu_and_says_why(
    case: Case, accelerator: str
) -> None:
    session = load(case.runtime, case.raw, accelerator)
    assert session.missing
    answer = session.run({"x": rows(2)})["y"]
    np.testing.assert_allclose(answer, expected(rows(2)), atol=case.tolerance)
    assert load(case.runtime, case.raw, "cpu").missing == ""


def test_a_provider_that_does_not_start_is_noticed() -> None:
    from lamplighter_agent.runtime.onnx import OnnxSession

    pretended = ("CUDAExecutionProvider", CPU)
    session = OnnxSession(linear_models.onnx_float(), "cuda", pretended)
    assert session.missing == "CUDAExecutionProvider does not start"


def test_providers_are_chosen_by_what_is_there() -> None:
    cuda, tensorrt = "CUDAExecutionProvider", "TensorrtExecutionProvider"
    assert choose("tensorrt", (CPU, cuda, tensorrt)) == ((tensorrt, cuda, CPU), "")
    assert choose("cuda", (tensorrt, cuda, CPU)) == ((cuda, CPU), "")
    assert choose("cpu", (tensorrt, cuda, CPU)) == ((CPU,), "")
    assert choose("tensorrt", (cuda, CPU)).missing
    assert all(choose(name, (CPU,)).providers == (CPU,) for name in ACCELERATORS)
