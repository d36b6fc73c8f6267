"""Patches between releases: made once, offered to devices that hold the former release."""
