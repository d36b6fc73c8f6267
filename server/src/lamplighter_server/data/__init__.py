"""Datasets on a person's machine: taken in, checked, versioned, split and erased. No server."""
