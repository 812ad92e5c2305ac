"""The leaderboard as people read it: the chosen model, other families' best, baselines, on the same folds."""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from data.card import Rival
from data.model_words import ALIKE, BETTER, TITLES, standing_of
from flows.training.bootstrap import BESIDE
from flows.training.families.standing import best_of_families
from flows.training.search import OURS

SHOWN = "Gradecast"


def chosen_and_baselines(board: pd.DataFrame) -> pd.DataFrame:
    """Return the best candidate, the best of each other family and the baselines, lowest log loss first.

    From the columns model, family, cv_log_loss, cv_accuracy, cv_f1_macro, difference, low and high to name,
    log_loss, accuracy, f1_macro and the same three.
    """
    candidates = board["model"] == OURS
    best = board[candidates].nsmallest(1, "cv_log_loss")
    families = best_of_families(board[candidates])
    others = families.drop(best.index, errors="ignore")
    others = others.assign(model=[f"{TITLES[name]}, tuned" for name in others.get("family", ())])
    rows = pd.concat([best, others, board[~candidates]]).sort_values("cv_log_loss")
    names = {"model": "name", "cv_log_loss": "log_loss", "cv_accuracy": "accuracy", "cv_f1_macro": "f1_macro"}
    return rows.rename(columns=names)[[*names.values(), *BESIDE]].reset_index(drop=True)


def lines_of(leaderboard: pd.DataFrame) -> list[Rival]:
    """Return the lines of a leaderboard with name, log_loss, accuracy, f1_macro, difference, low, high."""
    return [_line(row) for row in leaderboard.to_dict("records")]


def _line(row: dict[Hashable, Any]) -> Rival:
    chosen = row["name"] == OURS
    known = {name: row[name] for name in BESIDE if not chosen and pd.notna(row[name])}
    alike = bool(known) and standing_of(known["low"], known["high"]) == ALIKE
    figures = {name: row[name] for name in ("log_loss", "accuracy", "f1_macro")}
    name = SHOWN if chosen else str(row["name"])
    return Rival(name=name, chosen=chosen, as_good=alike, **figures, **known)


def compared_sentence(leaderboard: pd.DataFrame) -> str:
    """Say plainly which models are better than the chosen one, and which cannot be told apart from it."""
    lines = lines_of(leaderboard)
    if len(lines) < 2:
        return "No baseline was trained beside it."
    better, alike = ([line for line in lines if line.standing == kind] for kind in (BETTER, ALIKE))
    if not better and not alike:
        return "Each of the others is worse: the interval of its log loss less this one's is above 0."
    said = [f"**{line.name} is better** than the model chosen, {_by(line)}." for line in better]
    said += [f"**{line.name} cannot be told apart** from it, {_by(line)}." for line in alike]
    return " ".join(
        [*said, "Where a simpler model is no worse, nothing in these figures speaks against using it."]
    )


def _by(line: Rival) -> str:
    difference, low, high = line.difference or 0.0, line.low or 0.0, line.high or 0.0
    return f"by a log loss that differs by {difference:+.4f} (95 %: {low:+.4f} to {high:+.4f})"
