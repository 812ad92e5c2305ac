"""The leaderboard as people read it: the chosen model, other families' best, baselines, on the same folds."""

from dataclasses import dataclass

import pandas as pd

from data.model_words import TITLES
from flows.reports.wording import listed
from flows.training.families.standing import best_of_families
from flows.training.search import OURS

SHOWN = "Gradecast"


@dataclass(frozen=True)
class Line:
    """One model of the leaderboard; `as_good` says so of any but the chosen one, by a paired bootstrap."""

    name: str
    log_loss: float
    accuracy: float
    f1_macro: float
    chosen: bool
    as_good: bool

    @property
    def mark(self) -> str:
        """What the model is beside the chosen one."""
        return "chosen" if self.chosen else "as good" if self.as_good else ""


def chosen_and_baselines(board: pd.DataFrame) -> pd.DataFrame:
    """Return the best candidate, the best of each other family and the baselines, lowest log loss first.

    From the columns model, family, cv_log_loss, cv_accuracy, cv_f1_macro and as_good to name, log_loss,
    accuracy, f1_macro and as_good.
    """
    candidates = board["model"] == OURS
    best = board[candidates].nsmallest(1, "cv_log_loss")
    families = best_of_families(board[candidates])
    others = families.drop(best.index, errors="ignore")
    others = others.assign(model=[f"{TITLES[name]}, tuned" for name in others.get("family", ())])
    rows = pd.concat([best, others, board[~candidates]]).sort_values("cv_log_loss")
    names = {"model": "name", "cv_log_loss": "log_loss", "cv_accuracy": "accuracy", "cv_f1_macro": "f1_macro"}
    kept = rows.rename(columns=names)[[*names.values(), "as_good"]]
    return kept.assign(as_good=kept["as_good"].eq(True)).reset_index(drop=True)


def lines_of(leaderboard: pd.DataFrame) -> list[Line]:
    """Return the lines of a leaderboard with name, log_loss, accuracy, f1_macro, as_good."""
    return [
        Line(
            name=SHOWN if row["name"] == OURS else str(row["name"]),
            log_loss=float(row["log_loss"]),
            accuracy=float(row["accuracy"]),
            f1_macro=float(row["f1_macro"]),
            chosen=row["name"] == OURS,
            as_good=row["name"] != OURS and bool(row["as_good"]),
        )
        for row in leaderboard.to_dict("records")
    ]


def as_good_sentence(leaderboard: pd.DataFrame) -> str:
    """Say plainly whether a baseline is as good as the chosen model."""
    names = [line.name for line in lines_of(leaderboard) if line.as_good]
    if len(leaderboard) < 2:
        return "No baseline was trained beside it."
    if not names:
        return "No baseline is as good: the log loss of each is surely higher (paired bootstrap, same folds)."
    return (
        f"**{listed(names)} {'is' if len(names) == 1 else 'are'} as good** on the same folds: by a paired "
        "bootstrap its log loss is not surely higher. Where a simpler model is as good, nothing in these "
        "figures speaks against using it."
    )
