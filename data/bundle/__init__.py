"""The registered model on disk: manifest, models, card, predictions."""
