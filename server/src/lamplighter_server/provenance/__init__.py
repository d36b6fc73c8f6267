"""The provenance of a device: from the data to the report that the device has signed."""
