"""Overrides: what a person decides when gates do not let a release pass."""
