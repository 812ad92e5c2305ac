"""The drift gate: a batch and the champion's reference in, a verdict out."""
