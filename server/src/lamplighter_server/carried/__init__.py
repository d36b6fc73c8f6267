"""Updates for boards without a network: what the broker holds for one device, as a file."""
