"""Decisions of the agent: pure functions of what is known, without I/O and without a clock."""
