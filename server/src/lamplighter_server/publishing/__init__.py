"""The image side of trust: offline keys and the ceremony. Runs in a client process only."""
