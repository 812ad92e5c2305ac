"""A whole class at once: read, forecast, put in order and shown, and nothing of it kept by the server."""
