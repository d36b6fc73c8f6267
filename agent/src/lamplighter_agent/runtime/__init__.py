"""The runtimes behind one short port. Imported in worker processes only."""
