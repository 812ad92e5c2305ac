"""Registry to bundle on disk; the only part of serving that imports MLflow."""
