"""Our own certificate authority: first trust and mutual TLS."""
