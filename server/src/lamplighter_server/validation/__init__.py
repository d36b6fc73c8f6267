"""Validation: what a model is worth on held-out rows, and whether that is enough to publish it."""
