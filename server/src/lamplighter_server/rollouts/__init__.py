"""Rollouts: a plan in waves, gates between them, and a controller of small idempotent ticks."""
