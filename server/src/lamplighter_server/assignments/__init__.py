"""The director: what the server wants of each device, signed one envelope per device."""
