"""Readers of event-camera files, one format a file, without clocks or async. See `sensors.formats.open.open_events`."""
