"""The leaf every other package stands on: topics, packets, clocks, the three roles, errors. Imports nothing by itself."""
