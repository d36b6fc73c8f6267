"""Model files that somebody else made: described and judged before a runtime sees them."""
