"""The doubt that mixed-up grades teach, given to the champion too before it is compared.

A model trained on grades of which some are drawn blindly learns to be less sure. On other grades like
them it loses less than a sound champion that is sure, though it knows nothing that the champion does
not. What a challenger has learned of a changed relation is what it is better by when the champion doubts
as much as suits the same rows.
"""

import numpy as np

STEPS = 500
START = 0.2
LEAST = 1e-12


def doubting_losses(probabilities: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Return each row's log loss (n,) of a champion that doubts as suits these rows best, and how much.

    Doubt is the share e of the mixture (1 - e) p + e q of its probabilities p (n, K) and one constant
    forecast q. Both are fitted to the classes y (n,) by expectation maximisation (Dempster, Laird and
    Rubin 1977), in the champion's favour.
    """
    if not len(y):
        return np.zeros(0), 0.0
    own = np.maximum(probabilities[np.arange(len(y)), y].astype(np.float64), LEAST)
    doubt = START
    blind = np.bincount(y, minlength=probabilities.shape[1]) / len(y)
    for _ in range(STEPS):
        mixed = (1 - doubt) * own + doubt * blind[y]
        blamed = doubt * blind[y] / mixed
        doubt = float(blamed.mean())
        if doubt < LEAST:
            break
        blind = np.bincount(y, weights=blamed, minlength=len(blind)) / blamed.sum()
    return -np.log((1 - doubt) * own + doubt * blind[y]), doubt
