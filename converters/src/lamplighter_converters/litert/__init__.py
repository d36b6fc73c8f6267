"""LiteRT files of sequential networks, written on the published schema."""
