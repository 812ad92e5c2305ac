"""Generated students with known truth."""
