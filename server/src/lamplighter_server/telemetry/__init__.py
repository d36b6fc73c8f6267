"""Windows, vitals and events as they come in, and how counts merge."""
