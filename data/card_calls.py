"""Of a model card: who is called at risk, what that costs, and how rare being at risk is."""

from data.card_shares import Estimate, Part, Share


class Price(Part):
    """What calling costs per 100 students, in the contract's unit, with 90 % intervals.

    here: on the test split, at the threshold; pooled: the same on the out-of-fold forecasts of the training
    split; best: there at `best_threshold`, where it would have been least; nobody, everybody: there if none
    or all were called.
    """

    missed: float
    false_alarm: float
    here: Estimate
    pooled: Estimate
    best: Estimate
    best_threshold: Estimate
    nobody: float
    everybody: float


class Calls(Part):
    """How students are called at risk: from which probability on, and what is behind it.

    at_risk: of the test students, those who ended at risk; average_precision: the area under the curve of
    precision and recall, which guessing brings to the share at risk; balanced_accuracy: the mean of the
    shares called rightly among those who ended at risk and among the others.
    """

    threshold: float
    at_risk: Share
    called: Share
    average_precision: Estimate
    balanced_accuracy: Estimate
    price: Price | None = None
