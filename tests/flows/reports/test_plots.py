"""The plots are there whatever the classes, and leave nothing behind."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from data.contract.columns import Role
from data.contract.contract import Contract
from flows.reports.evidence import Evidence
from flows.reports.plots import QUALITY, candidates, effects, plots_of, roc, write_plots
from flows.reports.style import STYLE
from tests.flows.reports.evidences import any_evidence, changed, grade_evidence

ALL = [
    "reliability.png",
    "confusion.png",
    "roc.png",
    "precision_recall.png",
    "at_risk.png",
    "fairness.png",
    "importance.png",
    "effects.png",
    "candidates.png",
    "leaderboard.png",
]
PNG = b"\x89PNG\r\n\x1a\n"


def drawn_effects(evidence: Evidence) -> bytes:
    out = BytesIO()
    effects(evidence).savefig(out, dpi=40)
    return out.getvalue()


def test_every_plot_is_drawn_and_matplotlib_is_left_as_it_was(grade_class: Contract, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    paths = write_plots(grade_evidence(grade_class), tmp_path)
    assert [path.name for path in paths] == ALL
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert all(path.read_bytes().startswith(PNG) for path in paths)
    assert dict(mpl.rcParams) == before


def test_every_plot_is_drawn_for_two_classes_and_many_columns(
    pass_fail: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STYLE, "savefig.dpi", 30)
    assert len(write_plots(any_evidence(pass_fail, 60), tmp_path)) == len(ALL)


def test_what_there_is_no_evidence_of_is_not_drawn(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class, 100)
    bare = replace(evidence, effects=evidence.effects[:0], candidates=evidence.candidates[:0])
    names = {f"{plot.__name__}.png" for plot in plots_of(bare)}
    assert names == set(ALL) - {"importance.png", "effects.png", "candidates.png"}


@pytest.mark.parametrize(("there", "named"), [([1, 2, 3, 4], "A"), ([4], "A, B, C, D and F")])
def test_a_class_that_none_or_all_students_have_is_left_out_of_the_curves(
    grade_class: Contract, there: list[int], named: str
) -> None:
    evidence = grade_evidence(grade_class)
    (axes,) = roc(replace(evidence, y=np.resize(there, len(evidence.y)))).axes
    assert axes.get_title() == f"Not drawn, being all or none: {named}"


def test_classes_without_an_order_are_drawn(grade_class: Contract) -> None:
    columns = {name: column for name, column in grade_class.columns.items() if column.role != Role.SCORE}
    evidence = any_evidence(changed(grade_class, columns, ordered=False, at_least={}), 60)
    for plot in QUALITY:
        plot(evidence).savefig(BytesIO(), dpi=40)


def test_missing_values_and_codes_of_no_student_are_drawn_around(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class, rows=40)
    frame = evidence.frame.assign(StudyTimeWeekly=np.nan, Absences=7.0)
    frame["ParentalSupport"] = frame["ParentalSupport"].where(frame["ParentalSupport"] == 2)
    assert drawn_effects(replace(evidence, frame=frame)).startswith(PNG)


def test_effects_of_the_first_students_alone_are_enough(grade_class: Contract) -> None:
    evidence = grade_evidence(grade_class)
    assert drawn_effects(replace(evidence, effects=evidence.effects[:50])).startswith(PNG)


BOARD = pd.DataFrame(
    {
        "family": ["neural", "xgboost", "xgboost", "catboost", "logistic"],
        "max_depth": [None, 2, 1, None, None],
        "depth": [None, None, None, 3, None],
        "rounds": [50, 200, 100, 300, 1],
        "cv_log_loss": [0.42, 0.39, 0.38, 0.4, 0.41],
        "cv_log_loss_std": 0.01,
    }
)


def places(board: pd.DataFrame, contract: Contract) -> list[str]:
    """Return what stands under the plot, from left to right."""
    drawn = candidates(replace(grade_evidence(contract, 100), candidates=board))
    return [label.get_text().replace("\n", " ") for label in drawn.axes[0].get_xticklabels()]


def test_each_family_and_each_depth_of_its_trees_has_its_place(grade_class: Contract) -> None:
    assert places(BOARD, grade_class) == [
        "XGBoost depth 1",
        "XGBoost depth 2",
        "CatBoost depth 3",
        "logistic regression",
        "neural network",
    ]


def test_a_leaderboard_of_before_there_were_families_is_xgboosts(grade_class: Contract) -> None:
    old = BOARD[1:3].drop(columns=["family", "depth"])

    assert places(old, grade_class) == ["XGBoost depth 1", "XGBoost depth 2"]
