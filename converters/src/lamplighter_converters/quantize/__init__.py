"""int8 where it pays, and the reason where it does not."""
