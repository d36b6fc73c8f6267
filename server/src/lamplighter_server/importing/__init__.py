"""Models that were trained elsewhere: from a file and a dataset to a release."""
