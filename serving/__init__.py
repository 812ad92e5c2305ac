"""The predictor: reads the registry, answers on port 9696. Imports data/ alone."""
