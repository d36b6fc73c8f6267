import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.runtime.load import RUNTIMES, load
from lamplighter_agent.runtime.probe import _MODELS, probe
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.errors import LamplighterError


def test_both_runtimes_work_here_and_say_their_version() -> None:
    assert probe().keys() == set(RUNTIMES)


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
    import base64

    session = load(runtime, base64.b64decode(_MODELS[runtime][0]))
    with pytest.raises(LamplighterError) as refused:
        session.run({"another": np.ones(1, dtype=np.float32)})
    assert refused.value.code == "INFERENCE_FAILED"


def test_a_missing_file_is_refused_with_a_code(tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="MODEL_LOAD_FAILED"):
        load("onnxruntime", tmp_path / "missing.onnx")
