"""Actuators: one adapter a file, each a frozen configuration whose `open()` yields something commands can be applied to."""
