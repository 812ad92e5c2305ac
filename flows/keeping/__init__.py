"""What backup and restore do: databases and folders into files with their digests, and back."""
