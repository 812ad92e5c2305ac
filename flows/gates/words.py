"""What changed in a column, in words."""

import pandas as pd

from flows.gates.stattests import YES

CLEAR_SHIFT = 0.1  # of the reference's standard deviation; below it a changed spread is the news


def number_words(reference: pd.Series, current: pd.Series) -> str:
    """Tell the mean, or the spread where that is what changed."""
    before, now = reference.dropna(), current.dropna()
    if now.min() == now.max() and before.min() < before.max():
        return f"always {now.iloc[0]:.3g}, was {before.min():.3g} to {before.max():.3g}"
    shift, spread = abs(now.mean() - before.mean()), before.std()
    if shift < CLEAR_SHIFT * spread:
        return (
            f"standard deviation {spread:.3g} → {now.std():.3g}, mean {before.mean():.3g} → {now.mean():.3g}"
        )
    return f"mean {before.mean():.3g} → {now.mean():.3g}"


def code_words(reference: pd.Series, current: pd.Series) -> str:
    """Tell the code whose share changed most."""
    before, now = reference.value_counts(normalize=True), current.value_counts(normalize=True)
    change = now.sub(before, fill_value=0)
    if change.empty:
        return "no values"
    size = change.sort_index().abs().round(9)
    code = size[size == size.max()].index[-1]  # of two codes the last, which is Yes
    return f"{code} {_percent(before.get(code, 0.0))} → {_percent(now.get(code, 0.0))}"


def share_words(reference: pd.Series, current: pd.Series, columns: list[str]) -> str:
    """Tell how often an indicator is on, and for which columns."""
    before, now = (reference == YES).mean(), (current == YES).mean()
    named = f" ({', '.join(columns)})" if columns else ""
    return f"{_percent(before)} → {_percent(now)} of rows{named}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
