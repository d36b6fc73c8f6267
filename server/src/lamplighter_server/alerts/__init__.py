"""Alerts: what moved, where, since when, and the one safe command to run."""
