"""The Lamplighter agent: runs signed models on one device and goes back by itself."""

__version__ = "0.1.0"
