"""Compiled loops over arrays. Each has its equation above the loop and a slow twin in `tests/reference`."""
