"""Serving: the Open Inference Protocol, version 2, over HTTP. Imported in worker processes only."""
