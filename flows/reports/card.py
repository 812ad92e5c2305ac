"""The model card as Markdown, from the card's figures; its sentences are those of the card page."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from data.bundle import card_text as said
from data.bundle.bundle import method
from data.bundle.card import (
    ACCURACY,
    CALIBRATION_GAP,
    ENOUGH,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    PRECISION,
    RECALL,
    SELECTION_RATE,
    Audit,
    Card,
    CardEstimate,
    CardFigure,
    DayFigures,
    Flagging,
    Group,
    GroupDifference,
    PartWay,
    Rate,
    Share,
)
from data.bundle.manifest import FamilyName
from data.contract.contract import Contract
from data.words import NOTHING, bullets, cell, count, figure, listed, percent, plural, section, span, table
from flows.reports.artifacts import leaderboard_table, metrics_table
from flows.reports.evidence import Evidence, compared_sentence, reasons_of
from flows.reports.figures import card_figures
from flows.training.metrics import COVERAGE, FEW

TOO_FEW = "too few rows"
RATES = (SELECTION_RATE, RECALL, FALSE_POSITIVE_RATE, PRECISION, ACCURACY, CALIBRATION_GAP)


def model_card(
    evidence: Evidence, version_notes: Mapping[str, object], part_way: Sequence[PartWay] = ()
) -> str:
    """Return the card; `version_notes` are shown at its head as they are (version, alias, reason …)."""
    contract, card = evidence.contract, card_figures(evidence, part_way)
    parts = [
        _head(evidence, version_notes),
        _purpose(contract, generated=card.data.generated),
        _how_early(card, contract),
        _columns(contract),
        _before_the_end(contract, card.part_way),
        _data(card, evidence),
        _training(evidence),
        _quality(card, evidence),
        _flagging(card.flagging) if card.flagging else "",
        _each_class(card),
        _calibration(card, evidence),
        _grade_sets(card, evidence),
        _fairness(card.audits, contract),
        section("Limits", bullets([said.tested_sentence(card.data.test_rows), *said.LIMITS])),
        section(
            "What the institution must tell and keep", said.LAW, bullets(duty for duty, _ in said.DUTIES)
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(evidence: Evidence, version_notes: Mapping[str, object]) -> str:
    about: dict[str, object] = {"Model": evidence.contract.model_name}
    about |= {name.capitalize(): value for name, value in version_notes.items()}
    about["Trained on"] = evidence.data.get("date")
    about["Code"] = str(evidence.data.get("git_commit") or "")[:12]
    known = [f"{cell(name)}: {cell(value)}" for name, value in about.items() if value not in (None, "")]
    return f"# {cell(evidence.contract.title)}: model card\n\n{bullets(known)}"


def _purpose(contract: Contract, *, generated: bool) -> str:
    return section(
        "What it is for",
        f"**{said.GENERATED}** {said.NOT_REAL}" if generated else "",
        said.purpose_sentence(contract.target),
        "### What it is not for",
        bullets(said.NOT_FOR),
    )


def _how_early(card: Card, contract: Contract) -> str:
    """Give how good it is on each checkpoint, beside what knows less and the school's own rule."""
    if not card.days:
        return ""
    header = ["Day", "students", "at risk", "accuracy", "log loss", "AUC of at risk", "first tenth finds"]
    names = list(dict.fromkeys(line.name for day in card.days for line in day.baselines))
    return section(
        "How early",
        said.ahead_sentence(card),
        table(header, map(_line_of_day, card.days)),
        "In brackets: 95 % intervals. The first tenth are the students with the highest risk; of those who "
        "ended at risk, this share is among them.",
        table(
            ["Day", "calibration error of at risk", "sets held it", *names],
            [_beside_on_day(day, names) for day in card.days],
        ),
        *_rule_of_days(card, contract),
        *_groups_of_days(card, contract),
    )


def _line_of_day(day: DayFigures) -> list[str]:
    return [
        count(day.as_of),
        count(day.n),
        percent(day.at_risk.share),
        _share(day.accuracy),
        _with_interval(day.log_loss),
        _with_interval(day.auc),
        _share(day.recall_first),
    ]


def _beside_on_day(day: DayFigures, names: Sequence[str]) -> list[str]:
    marks = {line.name: line.mark for line in day.baselines}
    held = [count(day.as_of), _with_interval(day.ece_at_risk), _least_held(day.sets_by_class)]
    return [*held, *(marks.get(name, NOTHING) for name in names)]


def _rule_of_days(card: Card, contract: Contract) -> list[str]:
    """Compare with the rule that the school goes by, where the contract has one."""
    rule = contract.dated.early_warning if contract.dated else None
    rules = [(day.as_of, day.rule) for day in card.days if day.rule]
    lines = [
        [count(day), percent(one.flagged.share)]
        + [_share(share) for share in (one.recall, one.precision, one.recall_alike)]
        for day, one in rules
    ]
    header = ["Day", "it flags", "of those at risk it finds", "of those flagged ended so", "the model finds"]
    told = f"The school's own rule, `{rule}`, and the model where it flags as many:"
    return [told, table(header, lines)] if lines else []


def _groups_of_days(card: Card, contract: Contract) -> list[str]:
    """Give the groups of the audit day by day."""
    found = [(group, day) for day in card.days for group in day.groups if group.column in contract.columns]
    found.sort(key=lambda one: (one[0].column, one[0].label, one[1].as_of))
    lines = []
    for group, day in found:
        name = f"{contract.columns[group.column].title}: {group.label}"
        recall = _share(group.recall) if group.recall.n >= ENOUGH else TOO_FEW
        lines.append([name, count(day.as_of), count(group.accuracy.n), recall, _share(group.accuracy)])
    header = ["Group", "day", "students", "of those at risk it finds", "accuracy"]
    return ["The same for the groups of the audit:", table(header, lines)] if lines else []


def _columns(contract: Contract) -> str:
    lines = [(c.title, said.values_of(c), c.effect or "", c.help) for c in contract.features]
    counted = [column.title for column in contract.accumulating]
    return section(
        "As of when its columns must be known",
        said.KNOWN_WHEN,
        table(["Column", "values", "the outcome", "note"], lines, words=True),
        f"**{listed(counted)}: {said.ACCUMULATES}** {said.SO_FAR}" if counted else "",
        said.leaks_sentence(contract),
    )


def _before_the_end(contract: Contract, part_way: Sequence[PartWay]) -> str:
    """Say what the model is worth while what it counts is still being counted."""
    counted = listed([column.title for column in contract.accumulating])
    if not counted:
        return ""
    header = ["After", "log loss", "best possible", "calibration error", "at risk found", "sets held it"]
    lines = [
        [
            percent(line.elapsed),
            _with_interval(line.log_loss),
            figure(line.log_loss.limit),
            _with_interval(line.ece),
            _share(line.recall),
            _least_held(line.sets_by_class),
        ]
        for line in part_way
    ]
    return section(
        "Before the end of the period",
        f"On the {count(part_way[0].n)} test students, with {counted} as they stood after parts of the "
        f"period. {said.DRAWN}"
        if part_way
        else said.PART_WAY_UNKNOWN,
        table(header, lines) if lines else "",
        "“Sets held it”: of the class whose students’ sets held it least often." if lines else "",
    )


def _with_interval(found: CardFigure | CardEstimate) -> str:
    return f"{figure(found.value)} ({figure(found.low)} to {figure(found.high)})"


def _least_held(sets: Sequence[Share]) -> str:
    told = [one for one in sets if one.n >= ENOUGH]
    return _share(min(told, key=lambda one: one.share or 0.0)) if told else TOO_FEW


def _data(card: Card, evidence: Evidence) -> str:
    data, target = card.data, evidence.contract.target
    rows = [
        ("Source", data.source),
        ("SHA-256", f"`{data.sha256}`"),
        ("Rows read", count(data.rows)),
        ("Clean rows", count(data.clean)),
        ("Training split", count(data.train_rows)),
        ("Test split", count(data.test_rows)),
        ("Quarantined, by reason", reasons_of(data.quarantined)),
    ]
    checked = target.bounds is not None and not target.derived
    return section(
        "Data",
        cell(evidence.contract.description),
        table(["", ""], rows, words=True),
        "Quarantined rows were neither trained on nor tested on."
        + (" A label that contradicts its score counts as bad." if checked else ""),
        "The split is by a keyed hash of the student's id, so a student never moves from one to the other.",
    )


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


def _quality(card: Card, evidence: Evidence) -> str:
    """Give the test figures beside the limit of the data, then the baselines on the same folds."""
    recall, precision = card.recall, card.precision
    return section(
        "How good it is",
        f"On {plural(len(evidence.y), 'test student')} whom it had never seen, scored once. "
        "Intervals are 95 % bootstrap intervals over those students; those of calibration errors hold at "
        "least 95 %.",
        metrics_table(card.figures),
        _limit(evidence),
        f"At risk means {listed(evidence.contract.target.at_risk)}. Of the {plural(recall.n, 'student')} who "
        f"ended at risk, {_share(recall, FEW)} had been called so; of the {count(precision.n)} called at "
        f"risk, {_share(precision, FEW)} ended so.",
        "### Beside simpler and usual models",
        "Cross-validated on the training split, the same folds for each.",
        leaderboard_table(card.baselines),
        compared_sentence(card.baselines),
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


def _share(share: Share, enough: int = 1) -> str:
    """Return a share with its interval; of fewer than `enough` students their number alone."""
    if share.share is None or share.low is None or share.high is None:
        return NOTHING
    if share.n < enough:
        return f"{round(share.share * share.n)} ({TOO_FEW} for a share)"
    return f"{percent(share.share)} ({percent(share.low)} to {percent(share.high)})"


def _flagging(flagging: Flagging) -> str:
    """Say how students are called at risk, how rare that is, and what it costs."""
    price = said.price_sentence(flagging.price, flagging.threshold) if flagging.price else said.NO_COSTS
    return section("Who is called at risk", said.flagging_sentence(flagging), said.IMBALANCE, price)


def _each_class(card: Card) -> str:
    """Give precision, recall and F1 of each class, where it has rows enough."""
    lines = [
        [c.label, count(c.n), *(map(figure, (c.precision, c.recall, c.f1)) if c.n >= FEW else [TOO_FEW] * 3)]
        for c in card.classes
    ]
    few = any(c.n < FEW for c in card.classes)
    return section(
        "Each class",
        table(["Class", "test rows", "precision", "recall", "F1"], lines),
        f"Nothing is said of a class with fewer than {FEW} test rows." if few else "",
    )


def _calibration(card: Card, evidence: Evidence) -> str:
    """Say how far the risk, and then the probabilities, can be taken at their word, and where judged."""
    pooled = evidence.metrics.get("cv_ece")
    return section(
        "How far the probabilities can be trusted",
        "A calibration error is the mean distance between forecast chances and how often that came "
        "true (10 bins of equal width). 0 is perfect.",
        f"**Being at risk**, which is what is acted on. {said.risk_errors_sentence(card.risk_errors)}",
        "**How sure it was of its likeliest class.**",
        f"**Judged on the pooled out-of-fold forecasts of the training split: {figure(pooled)}.**"
        if pooled is not None
        else "No out-of-fold figure was kept for this model.",
        f"On the test split it is {figure(evidence.metrics.get('test_ece'))} "
        f"({span(evidence.intervals.get('test_ece'))}). A perfectly calibrated model would show about "
        f"{figure(card.calibration_luck)} on so few students by luck alone.",
    )


def _grade_sets(card: Card, evidence: Evidence) -> str:
    """Give how often the set of plausible classes held the true one, class by class."""
    sizes = np.array([len(members) for members in evidence.sets])
    lines = [
        [share.label, count(share.n), percent(share.share), f"{percent(share.low)} to {percent(share.high)}"]
        if share.n >= FEW
        else [share.label, count(share.n), TOO_FEW, ""]
        for share in card.sets_by_class
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


def _fairness(audits: tuple[Audit, ...], contract: Contract) -> str:
    """Give what each group of the audited columns meets, and claim nothing of small ones."""
    if not audits:
        return section("Fair to all?", "The contract names no audit column, so this was not looked at.")
    titles = [contract.columns[audit.column].title for audit in audits]
    seen = [
        title
        for audit, title in zip(audits, titles, strict=True)
        if audit.counterfactuals and audit.counterfactuals.feature
    ]
    hidden = [title for title in titles if title not in seen]
    return section(
        "Fair to all?",
        f"{listed(hidden)}: recorded for this audit, never seen by the model." if hidden else "",
        f"{listed(seen)}: used by the model, and audited." if seen else "",
        f"Nothing is claimed of a group with fewer than {ENOUGH} test students, nor of a rate with "
        f"fewer than {FEW} behind it. Intervals are 90 %: Wilson ones of shares, bootstrap "
        "ones of differences.",
        *(part for audit, title in zip(audits, titles, strict=True) for part in _audit(audit, title, audits)),
    )


def _audit(audit: Audit, title: str, audits: tuple[Audit, ...]) -> list[str]:
    header = [title, "test rows", "ended at risk", *(said.RATES[name].lower() for name in RATES)]
    apart = [_difference_line(d) for d in audit.differences if d.name != FALSE_NEGATIVE_RATE]
    verdict = said.verdict(audit, len(audits))
    return [
        f"### {title}",
        table(header, map(_group_line, audit.groups)),
        table(["Farthest apart", "difference, points", "ratio", "by luck"], apart) if apart else "",
        said.groups_sentence(audit),
        f"**{verdict}**" if said.worrying(audit, len(audits)) else verdict,
        said.counterfactuals_sentence(audit.counterfactuals, title) if audit.counterfactuals else "",
    ]


def _group_line(group: Group) -> list[str]:
    n = group.wrong.n
    if n < ENOUGH:
        return [group.wrong.label, count(n), TOO_FEW, *[""] * len(RATES)]
    rates = [_rate(group.rate(name)) for name in RATES]
    return [group.wrong.label, count(n), percent(group.true_risk), *rates]


def _rate(rate: Rate | None) -> str:
    if rate is None or rate.value is None:
        return TOO_FEW
    return _estimate(rate, "" if rate.name == CALIBRATION_GAP else " %")


def _difference_line(found: GroupDifference) -> list[str]:
    ratio = NOTHING if found.ratio is None else _estimate(found.ratio, by=1, digits=2)
    return [said.RATES[found.name], _estimate(found), ratio, percent(found.p_value, 1)]


def _estimate(found: CardEstimate, unit: str = "", by: float = 100, digits: int = 0) -> str:
    """Return a figure with its interval, in points of percent unless told otherwise."""
    if found.value is None:
        return NOTHING
    ends = [figure(by * end, digits) for end in (found.low, found.high) if end is not None]
    return f"{figure(by * found.value, digits)}{unit}" + (f" ({' to '.join(ends)})" if ends else "")
