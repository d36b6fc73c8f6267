"""From a trained estimator to a bundle: convert, quantize, check, pack."""

import os

# onnxruntime >= 1.29 reports home unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
