"""scikit-learn to ONNX, with the preprocessing in the graph."""
