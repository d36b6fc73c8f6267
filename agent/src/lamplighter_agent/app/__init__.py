"""Composes the agent: the supervisor, its workers and the command line."""
