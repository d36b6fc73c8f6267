import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.runtime.load import RUNTIMES, load
from lamplighter_agent.runtime.probe import _MODELS, probe_all
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.errors import LamplighterError


def test_both_runtimes_work_here_and_say_their_version() -> None:
    assert probe_all().keys() == set(RUNTIMES)


def test_a_runtime_that_dies_takes_no_other_with_it(tmp_path: Path) -> None:
    """As onnxruntime 1.21 does on a Raspberry Pi 4: SIGILL at the import."""
    broken = tmp_path / "onnxruntime"
    broken.mkdir()
    (broken / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    done = subprocess.run(
        [sys.executable, "-m", "lamplighter_agent.runtime.probe"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert json.loads(done.stdout).keys() == {"litert"}


def test_the_probe_prints_json_only() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lamplighter_agent.runtime.probe"],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout).keys() == set(RUNTIMES)


@pytest.mark.parametrize("runtime", RUNTIMES)
@given(raw=st.binary(max_size=200))
def test_garbage_is_refused_with_a_code(runtime: Runtime, raw: bytes) -> None:
    with pytest.raises(LamplighterError) as refused:
        load(runtime, raw)
    assert refused.value.code == "MODEL_LOAD_FAILED"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_input_that_the_runtime_refuses_has_a_code(runtime: Runtime) -> None:
    model, factor = _MODELS[runtime]
    session = load(runtime, base64.b64decode(model))
    for bad in (
        {"another": np.ones(1, dtype=np.float32)},
        {"x": np.ones(1, dtype=np.float64)},
        {"x": np.array(["a"])},
    ):
        with pytest.raises(LamplighterError) as refused:
            session.run(bad)
        assert refused.value.code == "INFERENCE_FAILED"
    answer = session.run({"x": np.full(1, 3, dtype=np.float32)})
    assert answer["y"].tolist() == [3 * factor]


def test_a_missing_file_is_refused_with_a_code(tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="MODEL_LOAD_FAILED"):
        load("onnxruntime", tmp_path / "missing.onnx")
