"""Load on a running predictor as a school's people would make it, and what it answers to that."""
