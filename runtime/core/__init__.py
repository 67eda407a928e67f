"""The leaf every other package stands on: topics, packets, clocks, roles, errors. Imports nothing by itself."""
