"""Sensors: one adapter a file, each a frozen configuration whose `open()` yields packets."""
