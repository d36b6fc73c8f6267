"""Claim and approve: a board asks to be let in, and a person who compares fingerprints decides."""
