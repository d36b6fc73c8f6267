"""Which rows scales are found on."""

from typing import Final

import numpy as np

from lamplighter_converters.parity.answers import Array

CALIBRATION_ROWS: Final = 500


def spread(rows: int) -> Array:
    """Positions of at most CALIBRATION_ROWS rows, evenly spread: many files are sorted by class."""
    wanted = min(rows, CALIBRATION_ROWS)
    return np.linspace(0, rows - 1, wanted).round().astype(np.int64)
