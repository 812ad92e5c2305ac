"""Backup and restore: what is kept, how it is written, how it is put back."""
