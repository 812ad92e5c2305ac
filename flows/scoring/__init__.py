"""Batch scoring: rosters too large for HTTP, in parts, so that a killed run goes on where it stopped."""
