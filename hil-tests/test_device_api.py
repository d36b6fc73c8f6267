"""What an application on the board relies on."""

import os
from collections.abc import Iterator

import httpx
import numpy as np
import pytest


@pytest.fixture
def board() -> Iterator[httpx.Client]:
    url = os.environ.get("LAMPLIGHTER_HIL_URL")
    if not url:
        pytest.skip("no board: set LAMPLIGHTER_HIL_URL to its device API")
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


def test_the_board_is_ready(board: httpx.Client) -> None:
    assert board.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_the_board_answers_as_its_metadata_says(board: httpx.Client) -> None:
    index = board.post("/v2/repository/index").json()[0]
    metadata = board.get(f"/v2/models/{index['name']}").json()
    inputs = []
    for tensor in metadata["inputs"]:
        shape = [1 if size < 0 else size for size in tensor["shape"]]
        data = np.zeros(shape).ravel().tolist()
        inputs.append({**tensor, "shape": shape, "data": data})
    answer = board.post(f"/v2/models/{index['name']}/infer", json={"inputs": inputs}).json()
    assert answer["model_version"] == index["version"]
    assert {output["name"] for output in answer["outputs"]} == {
        output["name"] for output in metadata["outputs"]
    }
