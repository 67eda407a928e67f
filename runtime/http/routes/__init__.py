"""The routes, one file for each thing a client can look at or steer."""
