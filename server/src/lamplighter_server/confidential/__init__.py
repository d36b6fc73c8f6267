"""Confidential models: their releases travel sealed, with a key for each assigned device."""
