"""From the broker to the slices: one subscription, one dispatch table."""
