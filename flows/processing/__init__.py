"""Processing, chunk by chunk."""
