"""Real SDK clients against a real HTTP server on loopback."""
