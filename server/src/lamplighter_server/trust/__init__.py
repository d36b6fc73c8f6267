"""The online side of TUF: the metadata as published, snapshot and timestamp, the director's key."""
