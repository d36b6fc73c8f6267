"""The Lamplighter server: API, console, CLI, rollouts, monitoring, training, alerts."""

__version__ = "0.1.0"
