"""Content-addressed files in the object store, and which of them are on the broker."""
