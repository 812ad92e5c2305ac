"""A generated school year played through the whole loop: predictor, monitor, retraining, promotion."""
