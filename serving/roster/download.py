"""The roster as a CSV again: the file's own columns, the forecast beside them, in the page's order."""

import io
from collections.abc import Mapping

from serving.predictor import Predictor
from serving.roster.choice import Shown
from serving.roster.forecasts import Forecasts
from serving.roster.reading import Roster
from serving.roster.view import step_of
from serving.sheet import BOM, LINE_END, Row, Sheet

LISTED, STEP, AFTER, JUDGED = "this_week", "best_single_step", "at_risk_after_step", "judgement"


def csv_of(
    roster: Roster, forecasts: Forecasts, shown: Shown, predictor: Predictor, noted: Mapping[int, str]
) -> bytes:
    """Return the chosen students, in their order, as a spreadsheet reads it."""
    labels = predictor.bundle.manifest.labels
    shares = [f"probability_{label}" for label in labels]
    added = [LISTED, "grade_class", *shares, "at_risk", "grade_set", STEP, AFTER, "model_version", JUDGED]
    own = [place for place, name in enumerate(roster.header) if name not in added]
    rows = [[roster.header[place] for place in own] + added]
    for place in shown.places:
        row = roster.row(place)
        own_cells = [row[at] for at in own]
        rows.append(own_cells + _cells(place, roster, forecasts, shown, predictor, noted))
    # The sheet's own writer quotes cells and neutralises those that a spreadsheet would run.
    sheet = Sheet(io.BytesIO(roster.delimiter.join(["a", "b"]).encode()))
    return BOM + "".join(f"{line}{LINE_END}" for line in sheet.joined(rows)).encode()


def _cells(
    place: int,
    roster: Roster,
    forecasts: Forecasts,
    shown: Shown,
    predictor: Predictor,
    noted: Mapping[int, str],
) -> Row:
    labels, risk = predictor.bundle.manifest.labels, float(forecasts.risks[place])
    step = step_of(place, roster.records[place], forecasts.gains)
    return [
        "yes" if shown.listed[place] else "no",
        labels[forecasts.tops[place]],
        *(f"{share:.6f}" for share in forecasts.shares[place]),
        f"{risk:.6f}",
        "|".join(forecasts.sets[place]),
        step,
        f"{risk - forecasts.gains.gain[place]:.6f}" if step else "",
        predictor.version,
        noted.get(roster.numbers[place], ""),
    ]
