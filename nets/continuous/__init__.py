"""Continuous mode: every event acts at its own nanosecond, and threshold crossings in between are predicted."""
