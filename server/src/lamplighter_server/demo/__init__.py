"""The whole loop as a story of eight verified steps."""
