"""The MLflow registry: what is written there, what is promoted, and why."""
