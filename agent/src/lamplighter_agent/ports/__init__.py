"""What the parts of the agent ask of each other: short protocols and messages, no behaviour."""
