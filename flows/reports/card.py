"""The model card as Markdown: purpose, figures, part of the year, fairness."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import cast

import numpy as np
import pandas as pd

from data.bundle import card_text as said
from data.bundle.answers import risk_of, risky
from data.bundle.bundle import method
from data.bundle.card import (
    CALIBRATION_GAP,
    ENOUGH,
    FALSE_NEGATIVE_RATE,
    Audit,
    CardEstimate,
    Flagging,
    Group,
    GroupDifference,
    PartOfYear,
    Rate,
    Share,
)
from data.bundle.card_text import (
    DUTIES,
    LAW,
    LIMITS,
    NOT_FOR,
    NOT_REAL,
    TOO_EARLY,
    WHOLE_PERIOD,
    counts_warning,
    risk_errors_sentence,
)
from data.bundle.manifest import FamilyName
from data.contract.columns import Column
from data.contract.contract import Contract
from data.statistics import Proportion, proportion_ci
from data.words import NOTHING, count, figure, listed, percent, plural, span
from flows.reports.artifacts import leaderboard_table, metrics_table
from flows.reports.calls import flagging_of
from flows.reports.card_json import risk_errors
from flows.reports.evidence import Evidence, found_and_right, set_coverage
from flows.reports.fairness import card_share, fairness_audits
from flows.reports.screen import compared_sentence
from flows.reports.text import bullets, cell, reasons_of, section, table, with_unit
from flows.training.metrics import COVERAGE, FEW, null_calibration_error


def purpose(contract: Contract, *, generated: bool) -> str:
    """Say what the model is for, and what it is not for."""
    target = contract.target
    return section(
        "What it is for",
        f"**Trained on generated students, not real ones.** {NOT_REAL}" if generated else "",
        f"It forecasts each student's {target.title.lower()} ({listed(target.labels)}"
        f"{', best first' if target.ordered else ''}), so that an educator can see whom to talk to first, "
        f"and why. At risk means {listed(target.at_risk)}.",
        "### What it is not for",
        bullets(NOT_FOR),
    )


def columns(contract: Contract) -> str:
    """Say which columns it needs and as of when they must be known."""
    lines = [(c.title, _values(c), c.effect or "", c.help) for c in contract.features]
    counted = [column.title for column in contract.counted]
    leaks = [column.title for column in contract.leaks]
    return section(
        "As of when its columns must be known",
        "All of these must be known when a forecast is asked for, and mean what they meant in training.",
        table(["Column", "values", "the outcome", "note"], lines, words=True),
        f"**{listed(counted)}: {WHOLE_PERIOD}** {TOO_EARLY}" if counted else "",
        f"Known too late or too close to the outcome, and never used: {listed(leaks)}." if leaks else "",
    )


def _values(column: Column) -> str:
    if column.coded:
        return ", ".join(column.codes.values())
    ends = [f"{end:g}" for end in (column.min, column.max) if end is not None]
    return with_unit(" to ".join(ends) if len(ends) == 2 else "any number", column.unit)


def limits(test_rows: int) -> str:
    """Say what has not been shown, and what the model cannot know."""
    shown = (
        f"It was tested on {plural(test_rows, 'student')} of the source it was trained on. How it does "
        "elsewhere, or in a later year, has not been shown."
    )
    return section("Limits", bullets([shown, *LIMITS]))


def duties() -> str:
    """Say what an institution that uses the model must tell and keep."""
    return section("What the institution must tell and keep", LAW, bullets([duty for duty, _ in DUTIES]))


PARTS = (0.25, 0.5, 0.75, 1.0)
HEADER = [
    "Part",
    "as counted, right class",
    "as counted, at risk found",
    "projected, right class",
    "projected, at risk found",
]
Forecast = Callable[[pd.DataFrame], np.ndarray]


def part_year_figures(evidence: Evidence, forecast: Forecast, seed: int = 0) -> list[PartOfYear]:
    """Return how a model does on the test students as they stood after parts of the year.

    Generated students alone have such records: of what a column counts up over the year, each unit has
    come by then with the chance of that part, independently (binomial thinning). `forecast` gives the
    class probabilities (n, K) of a frame. Empty for real data, and where no column counts anything up.
    """
    counted = evidence.contract.counted
    if evidence.data.get("generated") in (None, False) or not counted:
        return []
    rng = np.random.default_rng(seed)
    return [_at(part, evidence, forecast, counted, rng) for part in PARTS]


def _at(
    part: float, evidence: Evidence, forecast: Forecast, counted: Sequence[Column], rng: np.random.Generator
) -> PartOfYear:
    so_far = evidence.frame.assign(**{c.name: _thinned(evidence.frame[c.name], part, rng) for c in counted})
    projected = so_far.assign(
        **{c.name: (so_far[c.name] / part).round().clip(upper=c.limits[1]) for c in counted}
    )
    target = evidence.contract.target
    said, said_projected = forecast(so_far), forecast(projected)
    true = risky(target)[evidence.y]
    return PartOfYear(
        part=part,
        so_far=_share(said.argmax(axis=1) == evidence.y),
        projected=_share(said_projected.argmax(axis=1) == evidence.y),
        found_so_far=_share(risk_of(said, target)[true] >= target.call_from),
        found_projected=_share(risk_of(said_projected, target)[true] >= target.call_from),
    )


def _share(hits: np.ndarray) -> Share:
    return card_share(proportion_ci(hits))


def _thinned(counts: pd.Series, part: float, rng: np.random.Generator) -> pd.Series:
    """Return counts (n,) as they stood after a part of the period; what is missing stays missing."""
    values = counts.to_numpy(dtype=float, na_value=np.nan)
    known = ~np.isnan(values)
    drawn = rng.binomial(np.where(known, values, 0).astype(np.int64), part)
    return pd.Series(np.where(known, drawn, np.nan), index=counts.index)


def before_the_end(evidence: Evidence, part_year: Sequence[PartOfYear]) -> str:
    """Say what the model is worth while what it counts is still being counted."""
    counted = listed([column.title for column in evidence.contract.counted])
    if not counted:
        return ""
    lines = [
        [
            "the whole" if line.part == 1 else percent(line.part),
            *map(_of_card, (line.so_far, line.found_so_far, line.projected, line.found_projected)),
        ]
        for line in part_year
    ]
    return section(
        "Before the end of the period",
        counts_warning(evidence.contract, part_year),
        f"{counted} as they stood after part of the period, for the same test students, generated. “As "
        "counted” is what the model makes of the count so far; “projected”, of what it would be at the end "
        "if it went on at that pace."
        if lines
        else f"How good it is while {counted} are still being counted is not known: these records do not say "
        "how they stood at an earlier time.",
        table(HEADER, lines) if lines else "",
    )


def _of_card(share: Share) -> str:
    if share.share is None or share.low is None or share.high is None:
        return NOTHING
    return f"{percent(share.share)} ({percent(share.low)} to {percent(share.high)})"


TOO_FEW = "too few rows"
APART = ["Farthest apart", "difference, points", "ratio", "by luck"]
COLUMNS = ("called", "found", "false_alarms", "right", "accuracy", "gap")


def call_section(calls: Flagging) -> str:
    """Say how students are called at risk, how rare that is, and what it costs."""
    costs = (
        said.price_sentence(calls.price, calls.threshold)
        if calls.price
        else "The contract names no costs of the two mistakes, so the threshold is one half."
    )
    return section("Who is called at risk", said.flagging_sentence(calls), said.IMBALANCE, costs)


def fairness_section(audits: tuple[Audit, ...], contract: Contract) -> str:
    """Give what each group of the audited columns meets, and claim nothing of small ones."""
    titles = [contract.columns[audit.column].title for audit in audits]
    if not audits:
        return section("Fair to all?", "The contract names no audit column, so this was not looked at.")
    hidden = [
        contract.columns[a.column].title
        for a in audits
        if not (a.counterfactuals and a.counterfactuals.feature)
    ]
    seen = [title for title in titles if title not in hidden]
    pairs = zip(audits, titles, strict=True)
    parts = [part for audit, title in pairs for part in _column(audit, title, len(audits))]
    return section(
        "Fair to all?",
        f"{listed(hidden)}: recorded for this audit, never seen by the model." if hidden else "",
        f"{listed(seen)}: used by the model, and audited." if seen else "",
        f"Nothing is claimed of a group with fewer than {ENOUGH} test students, nor of a rate with "
        f"fewer than {FEW} behind it. Intervals are 90 %: Wilson ones of shares, bootstrap "
        "ones of differences.",
        *parts,
    )


def _column(audit: Audit, title: str, columns: int) -> list[str]:
    header = [title, "test rows", "ended at risk", *(said.RATES[name].lower() for name in COLUMNS)]
    verdict = said.verdict(audit, columns)
    return [
        f"### {title}",
        table(header, map(_group_line, audit.groups)),
        table(APART, [_difference_line(d) for d in audit.differences if d.name != FALSE_NEGATIVE_RATE])
        if audit.differences
        else "",
        said.groups_sentence(audit),
        f"**{verdict}**" if said.worrying(audit, columns) else verdict,
        said.counterfactuals_sentence(audit.counterfactuals, title) if audit.counterfactuals else "",
    ]


def _group_line(group: Group) -> list[str]:
    n = group.wrong.n
    if n < ENOUGH:
        return [group.wrong.label, count(n), TOO_FEW, *[""] * len(COLUMNS)]
    rates = [group.rate(name) for name in COLUMNS]
    return [group.wrong.label, count(n), percent(group.true_risk), *(_rate(rate) for rate in rates)]


def _rate(rate: Rate | None) -> str:
    if rate is None or rate.value is None:
        return TOO_FEW
    return _estimate(rate) if rate.name == CALIBRATION_GAP else _estimate(rate, " %")


def _difference_line(found: GroupDifference) -> list[str]:
    luck = NOTHING if found.p_value is None else percent(found.p_value, 1)
    ratio = NOTHING if found.ratio is None else _estimate(found.ratio, "", 1, 2)
    return [said.RATES[found.name], _estimate(found), ratio, luck]


def _estimate(found: CardEstimate, unit: str = "", by: float = 100, digits: int = 0) -> str:
    """Return a figure with its interval, in points of percent unless told otherwise."""
    if found.value is None:
        return NOTHING
    value, *ends = (
        f"{by * end:z.{digits}f}" for end in (found.value, found.low, found.high) if end is not None
    )
    return f"{value}{unit} ({' to '.join(ends)})" if ends else f"{value}{unit}"


def quality(evidence: Evidence) -> str:
    """Give the test figures beside the limit of the data, then the baselines on the same folds."""
    found, right = found_and_right(evidence)
    at_risk = listed(evidence.contract.target.at_risk)
    return section(
        "How good it is",
        f"On {plural(len(evidence.y), 'test student')} whom it had never seen, scored once. "
        "Intervals are 95 % bootstrap intervals over those students; those of calibration errors hold at "
        "least 95 %.",
        metrics_table(evidence),
        _limit(evidence),
        f"At risk means {at_risk}. Of the {plural(found.n, 'student')} who ended at risk, {_told(found)} had "
        f"been called so; of the {count(right.n)} called at risk, {_told(right)} ended so.",
        "### Beside simpler and usual models",
        "Cross-validated on the training split, the same folds for each.",
        leaderboard_table(evidence.leaderboard),
        compared_sentence(evidence.leaderboard),
    )


def _limit(evidence: Evidence) -> str:
    best, own = evidence.bayes or {}, evidence.metrics.get("test_accuracy")
    if "accuracy" not in best or own is None:
        return ""
    return (
        "These students were generated, so the limit of the data is known. The very rule that made them has "
        f"an accuracy of {figure(best['accuracy'])} on them, and no model can be expected to do better. This "
        f"one reaches {percent(own / best['accuracy'], 1)} of it."
    )


def _told(share: Proportion) -> str:
    if not share.n:
        return NOTHING
    if share.n < FEW:
        return f"{round(share.share * share.n)} ({TOO_FEW} for a share)"
    return f"{percent(share.share)} ({percent(share.low)} to {percent(share.high)})"


def each_class(evidence: Evidence) -> str:
    """Give precision, recall and F1 of each class, where it has rows enough."""
    rows = np.bincount(evidence.y, minlength=len(evidence.contract.target.labels))
    lines = []
    for label, n in zip(evidence.contract.target.labels, rows.tolist(), strict=True):
        figures = [
            figure(evidence.metrics.get(f"test_{name}_{label}")) for name in ("precision", "recall", "f1")
        ]
        lines.append([label, count(n), *(figures if n >= FEW else [TOO_FEW] * 3)])
    return section(
        "Each class",
        table(["Class", "test rows", "precision", "recall", "F1"], lines),
        f"Nothing is said of a class with fewer than {FEW} test rows." if rows.min() < FEW else "",
    )


def calibration(evidence: Evidence) -> str:
    """Say how far the risk, and then the probabilities, can be taken at their word, and where judged."""
    pooled, test = evidence.metrics.get("cv_ece"), evidence.metrics.get("test_ece")
    luck = null_calibration_error(evidence.probabilities)
    judged = (
        f"**Judged on the pooled out-of-fold forecasts of the training split: {figure(pooled)}.**"
        if pooled is not None
        else "No out-of-fold figure was kept for this model."
    )
    return section(
        "How far the probabilities can be trusted",
        "A calibration error is the mean distance between forecast chances and how often that came "
        "true (10 bins of equal width). 0 is perfect.",
        f"**Being at risk**, which is what is acted on. {risk_errors_sentence(risk_errors(evidence))}",
        "**How sure it was of its likeliest class.**",
        judged,
        f"On the test split it is {figure(test)} ({span(evidence.intervals.get('test_ece'))}). A perfectly "
        f"calibrated model would show about {figure(luck)} on so few students by luck alone.",
    )


def grade_sets(evidence: Evidence) -> str:
    """Give how often the set of plausible classes held the true one, class by class."""
    sizes = np.array([len(members) for members in evidence.sets])
    lines = [
        [label, count(share.n), *_of_share(share, FEW, "")] for label, share in set_coverage(evidence).items()
    ]
    return section(
        "Sets of plausible classes",
        "Beside the one most probable class, each forecast gives the set of classes that are plausible. It "
        f"is built to hold the true one for at least {percent(COVERAGE)} of the students of each class.",
        table(["Class", "test rows", "held the truth", "95 % interval"], lines),
        f"A set holds {sizes.mean():.1f} classes on average; {percent((sizes == 1).mean())} of them name one."
        if len(sizes)
        else "",
    )


def _of_share(share: Proportion, enough: int, otherwise: str) -> list[str]:
    if share.n < enough:
        return [TOO_FEW, otherwise]
    return [percent(share.share), f"{percent(share.low)} to {percent(share.high)}"]


COUNTS = {
    "rows": "Rows read",
    "clean": "Clean rows",
    "train_rows": "Training split",
    "test_rows": "Test split",
}


def model_card(
    evidence: Evidence, version_notes: Mapping[str, object], part_year: Sequence[PartOfYear] = ()
) -> str:
    """Return the card; `version_notes` are shown at its head as they are (version, alias, reason …)."""
    generated = evidence.data.get("generated") not in (None, False)
    parts = [
        _head(evidence, version_notes),
        purpose(evidence.contract, generated=generated),
        columns(evidence.contract),
        before_the_end(evidence, part_year),
        _data(evidence),
        _training(evidence),
        quality(evidence),
        call_section(flagging_of(evidence)),
        each_class(evidence),
        calibration(evidence),
        grade_sets(evidence),
        fairness_section(fairness_audits(evidence), evidence.contract),
        limits(len(evidence.y)),
        duties(),
    ]
    return "\n\n".join(parts) + "\n"


def _head(evidence: Evidence, version_notes: Mapping[str, object]) -> str:
    about: dict[str, object] = {"Model": evidence.contract.model_name}
    about |= {name.capitalize(): value for name, value in version_notes.items()}
    about["Trained on"] = evidence.data.get("date")
    about["Code"] = str(evidence.data.get("git_commit") or "")[:12]
    said = [f"{cell(name)}: {cell(value)}" for name, value in about.items() if value not in (None, "")]
    return f"# {cell(evidence.contract.title)}: model card\n\n{bullets(said)}"


def _data(evidence: Evidence) -> str:
    data, contract = evidence.data, evidence.contract
    quarantined = data.get("quarantined")
    rows = [
        ("Source", _source(str(data.get("source")))),
        ("SHA-256", f"`{data.get('sha256')}`"),
        *((title, count(cast("int", data.get(name)))) for name, title in COUNTS.items()),
        ("Quarantined, by reason", reasons_of(quarantined if isinstance(quarantined, dict) else {})),
    ]
    checked = contract.target.bounds is not None and not contract.target.derived
    return section(
        "Data",
        cell(contract.description),
        table(["", ""], rows, words=True),
        "Quarantined rows were neither trained on nor tested on."
        + (" A label that contradicts its score counts as bad." if checked else ""),
        "The split is by a keyed hash of the student's id, so a student never moves from one to the other.",
    )


def _source(source: str) -> str:
    """Leave out the folders of a file: they say nothing to a reader, and may say too much."""
    return source if "://" in source else PurePath(source).name


def _training(evidence: Evidence) -> str:
    family, head = evidence.params.get("family", "xgboost"), evidence.params.get("kind", "probit")
    directed = [column.title for column in evidence.contract.features if column.effect]
    chosen = [(name, _short(value)) for name, value in evidence.params.items()]
    return section(
        "How it was trained",
        method(cast("FamilyName", family), str(head)),
        f"Of {plural(len(evidence.candidates), 'candidate')}, the one with the lowest cross-validated log "
        "loss was fitted again on the whole training split.",
        f"Held to their known direction: {listed(directed)}." if directed and head == "probit" else "",
        table(["Chosen", ""], chosen, words=True),
        bullets(map(cell, evidence.notes)),
    )


def _short(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_short(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
