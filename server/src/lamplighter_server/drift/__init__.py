"""Is what the devices see still what the release was made for?"""
