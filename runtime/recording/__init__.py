"""Recordings: MCAP files that survive a kill, locate a changed byte and never lose a message silently."""
