"""The managed Mosquitto: configuration, permissions, process."""
