"""Training: from a dataset to a bundle. Runs in a client process, never in the server's."""
