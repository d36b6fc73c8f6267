"""What ran where and when, from what devices have signed."""
