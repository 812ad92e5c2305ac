"""The demonstration year: a school played through predictor, monitor and retraining."""
