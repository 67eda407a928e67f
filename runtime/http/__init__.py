"""The gateway: HTTP API, live stream and page, in a process of its own."""
