"""Actuators: one adapter a file, each a frozen configuration whose `open()` yields what commands are applied to."""
