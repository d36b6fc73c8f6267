"""The meter cameras: one for each device, reading real held-out digits through its endpoint.

A reading is one request with the five digits of a meter. Connections are kept alive, as an
application on the board would keep them, so a switch of releases happens under open connections.
"""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from lamplighter_protocol.bundle import ImageInput

DIGITS_PER_METER: Final = 5
REQUEST_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Tally:
    """What one camera has seen."""

    requests: int = 0
    failed: int = 0
    digits: int = 0
    correct: int = 0
    failures: tuple[str, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        """The sum over cameras."""
        return Tally(
            self.requests + other.requests,
            self.failed + other.failed,
            self.digits + other.digits,
            self.correct + other.correct,
            self.failures + other.failures,
        )

    def since(self, earlier: "Tally") -> "Tally":
        """What has been added since an earlier tally."""
        return Tally(
            self.requests - earlier.requests,
            self.failed - earlier.failed,
            self.digits - earlier.digits,
            self.correct - earlier.correct,
            self.failures[len(earlier.failures) :],
        )


@dataclass
class Camera(threading.Thread):
    """Reads meters at a steady rate until it is stopped."""

    address: str
    model: str
    images: npt.NDArray[np.float32]
    """Shape (n, 64): what the lens sees; may be replaced while it runs."""
    labels: npt.NDArray[np.int64]
    image: ImageInput
    seed: int
    interval_s: float
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        super().__init__(daemon=True, name=f"camera-{self.seed}")
        self._stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def __hash__(self) -> int:
        """Threads are hashed by identity."""
        return id(self)

    def stop(self) -> None:
        """End after the request that is under way."""
        self._stopped.set()

    def run(self) -> None:
        """Read meters; a request that fails for whatever reason is counted, never repeated."""
        random = np.random.default_rng(self.seed)
        due_mono = time.monotonic()
        while not self._stopped.wait(max(0.0, due_mono - time.monotonic())):
            due_mono = max(due_mono + self.interval_s, time.monotonic() - self.interval_s)
            rows = random.integers(0, len(self.labels), DIGITS_PER_METER)
            try:
                predicted = self._read(self.images[rows])
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self._close()
                failures = (*self.tally.failures, f"{type(error).__name__}: {error}")
                self.tally = replace(
                    self.tally,
                    requests=self.tally.requests + 1,
                    failed=self.tally.failed + 1,
                    failures=failures,
                )
                continue
            correct = int((predicted == self.labels[rows]).sum())
            self.tally = self.tally + Tally(1, 0, DIGITS_PER_METER, correct)
        self._close()

    def _read(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        if self._connection is None:
            host = urlsplit(self.address)
            self._connection = http.client.HTTPConnection(
                host.hostname or "", host.port, timeout=REQUEST_TIMEOUT_S
            )
        body = json.dumps(
            {
                "inputs": [
                    {
                        "name": "image",
                        "shape": list(images.shape),
                        "datatype": "FP32",
                        "data": images.ravel().tolist(),
                    }
                ]
            }
        )
        self._connection.request("POST", f"/v2/models/{self.model}/infer", body)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise ValueError(answer.get("error", response.status))
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        return np.asarray(outputs["label"], dtype=np.int64)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
