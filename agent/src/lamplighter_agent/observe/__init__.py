"""What the device sees of itself and of its input."""
