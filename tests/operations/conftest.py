"""The predictor's fixtures serve here too."""

from tests.serving.conftest import client, settings_for, student, synced

__all__ = ["client", "settings_for", "student", "synced"]
