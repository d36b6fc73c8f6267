"""Run by tflite-runtime's own Python: every LiteRT file of a folder, beside what LiteRT answered.

Prints one JSON object: how many files ran, and the largest difference as a share of the range.
"""

import json
import sys
from pathlib import Path

import numpy as np
from tflite_runtime.interpreter import Interpreter

files, worst = 0, 0.0
for file in sorted(Path(sys.argv[1]).glob("*.tflite")):
    known = np.load(file.with_suffix(".npz"))
    interpreter = Interpreter(model_path=str(file), num_threads=1)
    (taken,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(taken["index"], known["input"].shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], known["input"])
    interpreter.invoke()
    for output in interpreter.get_output_details():
        wanted = known[f"output/{output['name']}"].astype(np.float64)
        answered = interpreter.get_tensor(output["index"])
        scale = max(1.0, float(np.ptp(wanted)))
        worst = max(worst, float(np.abs(answered - wanted).max()) / scale)
    files += 1
print(json.dumps({"files": files, "worst_difference": round(worst, 4)}))
