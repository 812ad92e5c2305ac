"""The sentences of a model's card that do not depend on who shows it."""

from collections.abc import Sequence

from data.bundle.card import (
    ENOUGH,
    FALSE_POSITIVE_RATE,
    RECALL,
    Audit,
    Card,
    Counterfactuals,
    Flagging,
    PartOfYear,
    Price,
    RiskError,
)
from data.contract.columns import Column, Target
from data.contract.contract import Contract
from data.words import listed, number, percent, plural

GENERATED = "Trained on generated students, not real ones."
NOT_REAL = (
    "It shows what the pipeline does. It knows nothing of any school, and must not be used on real students."
)
NOT_FOR = (
    "Giving grades, or deciding on admission, exclusion or support without a person who looks into it.",
    "Ranking students for grades, places or prizes; the list of a class says whom to talk to first, no more.",
    "Judging teachers and schools.",
    "Saying what causes a grade. Its reasons are associations in past records.",
    "Students unlike those it learned from: another school, course, age or way of marking.",
)
KNOWN_WHEN = "All of these must be known when a forecast is asked for, and mean what they meant in training."
PART_WAY_UNKNOWN = (
    "How good it is part of the way through is not known: the records it learned from do not say how things "
    "stood at an earlier time."
)
NO_COSTS = (
    "The contract names no costs of a missed student and of a false alarm, so the threshold is one half."
)
WHOLE_PERIOD = "counted up over a period, and here over the whole of it."
ACCUMULATES = "added up over a period, and known in full at its end alone."
SO_FAR = (
    "Before the end, give the count so far and how much of the period has passed: the forecast is the mean "
    "over all that the count may yet come to, as students' totals are distributed."
)
SO_FAR_OR_WHOLE = "So far, where it is said how much of the period has passed; else over all of it."
DRAWN = (
    "Nobody's records of earlier days were there: what had been counted by then was drawn from the whole "
    "period's count, each unit falling anywhere in the period. What comes in spells, such as a week of "
    "illness, leaves more open than these figures say."
)
TOO_EARLY = (
    "A count taken part of the way through is too low, and the forecast made from it wrong. A model that "
    "needs the whole period's count cannot warn early in that period; for that, train one on records as "
    "they stood at that time."
)
LIMITS = (
    "It knows only its columns. Illness, a new teacher or trouble at home it cannot see.",
    "It answers only within the ranges and codes of its columns, and refuses anything else.",
    "When the students or the marking change, it goes stale. A teacher may see that before any gate does.",
    "A forecast can influence the outcome it forecasts. Outcomes after an intervention are no clean test.",
)
LAW = (
    "Whether the law makes this a high-risk use is for the institution to find out. In the European Union, "
    "evaluating learning outcomes is named in Annex III of Regulation 2024/1689. Data protection law applies."
)
DUTIES = (
    (
        "Tell students, parents and staff that forecasts are made, from which columns, and what for.",
        "This card names every column and what it is for.",
    ),
    (
        "Human oversight: a named person looks at each forecast before anything follows, and can disagree.",
        "Reasons and plausible classes stand beside it; a teacher's disagreement is kept with it.",
    ),
    (
        "Record-keeping: keep forecasts, their version and later outcomes as long as the law says.",
        "Each forecast written down has its moment, version and values; how long it stays is one setting.",
    ),
    (
        "Accuracy: compare forecasts with outcomes every term; stop when figures leave the intervals above.",
        "Later grades are joined to their forecasts, and the monitor compares them with this card.",
    ),
    (
        "Answer requests to see, correct and erase a student's records.",
        "Students are kept under a keyed code, by which one command erases all that is known of one.",
    ),
)
"""What an institution must do, each with what there is to help."""


SURE = 0.05
"""Chance of pointing at equal groups, shared out among the audited columns."""
TOO_FEW = "There are too few students to compare the groups."
WORRYING = "The groups differ by more than luck explains"
RATES = {
    "called": "Called at risk",
    "found": "Found, of those who ended at risk",
    "missed": "Missed, of those who ended at risk",
    "false_alarms": "False alarms, of the others",
    "right": "Right, of those called at risk",
    "accuracy": "Right class",
    "gap": "Forecast risk less true, points",
    "equalized_odds": "Equalized odds: found or false alarms",
}
"""Rates of the fairness audit and what people call them."""


def purpose_sentence(target: Target) -> str:
    """Say what is forecast, and what being at risk means."""
    order = ", best first" if target.ordered else ""
    return (
        f"It forecasts each student’s {target.title.lower()} ({listed(target.labels)}{order}), so that an "
        f"educator can see whom to talk to first, and why. At risk means {listed(target.at_risk, 'or')}."
    )


def values_of(column: Column) -> str:
    """Return what a column can be: its labels, or its range with the unit."""
    if column.coded:
        return ", ".join(column.codes.values())
    ends = [number(end) for end in (column.min, column.max) if end is not None]
    return f"{' to '.join(ends) if len(ends) == 2 else 'any number'} {column.unit}".strip()


def leaks_sentence(contract: Contract) -> str:
    """Name the columns that would give the outcome away, where there are any."""
    leaks = [column.title for column in contract.leaks]
    return f"Known too late or too close to the outcome, and never used: {listed(leaks)}." if leaks else ""


def tested_sentence(rows: int) -> str:
    """Say on whom it was tested, and what that does not show."""
    return (
        f"It was tested on {plural(rows, 'student')} of the source it was trained on. How it does "
        "elsewhere, or in a later year, has not been shown."
    )


def ahead_sentence(card: Card) -> str:
    """Say from which day on the model is surely better than what knows less."""
    names = listed(list(dict.fromkeys(line.name for day in card.days for line in day.baselines)))
    first = card.ahead_from
    if first is None:
        return f"**On the last checkpoint it is not surely better than {names}.** Do not act on it."
    return (
        f"**From day {first} on it is surely better than {names}**: on each checkpoint from there, the 95 % "
        "interval of the difference in log loss is on its side."
    )


def counts_hint(contract: Contract, card: Card | None) -> str:
    """Say what to give for counts over a period before its end; nothing where no column counts anything up.

    A bundle of an earlier release takes the whole period's count alone, and what a count so far brings.
    """
    if contract.accumulating:
        titles = listed([column.title for column in contract.accumulating])
        return f"{titles}: give the count so far, and say how much of the period has passed."
    if card is None or not card.counted:
        return ""
    titles = listed([contract.columns[name].title for name in card.counted])
    return (
        f"{titles}: give the count over the whole period or, before its end, what it will come to at the "
        "present pace. A count so far is too low, and the forecast made from it wrong: "
        f"{_missed(card.part_year)}."
    )


def _missed(part_year: Sequence[PartOfYear]) -> str:
    first, last = (part_year[0], part_year[-1]) if part_year else (None, None)
    if first is None or last is None or first.found_so_far.share is None or last.found_so_far.share is None:
        return "how many students at risk are missed was not measured on these records"
    if first.found_so_far.n < ENOUGH:
        return "too few test students ended at risk to say how many are missed"
    return (
        f"after {percent(first.part)} of the period the model found {percent(first.found_so_far.share)} of "
        f"the {first.found_so_far.n:,} test students who ended at risk, with whole counts "
        f"{percent(last.found_so_far.share)}"
    )


def risk_errors_sentence(errors: Sequence[RiskError]) -> str:
    """Say how far the forecast risk was from how often students ended at risk, and on whom; or nothing."""
    where = {False: "training students, forecast out of fold", True: "test students"}
    told = [
        f"{error.value:.3f} (95 %: {error.low:.3f} to {error.high:.3f}) on the {error.n:,} "
        f"{where[error.held_out]}, where a perfect model would show about {error.luck:.3f} by luck alone"
        for error in errors
    ]
    said = "The average distance between the forecast risk and how often students ended at risk"
    lines = [_line_sentence(error, where[error.held_out]) for error in errors]
    return " ".join([f"{said} is {'; '.join(told)}.", *filter(None, lines)]) if told else ""


def _line_sentence(error: RiskError, on: str) -> str:
    """Say whether the risk is too sure or not sure enough, too high or too low, where that was judged."""
    if error.slope is None or error.intercept is None:
        return ""
    (slope, low, high), (intercept, least, most) = error.slope, error.intercept
    sure = "too sure of itself" if high < 1 else "less sure than it could be" if low > 1 else ""
    level = "too high" if most < 0 else "too low" if least > 0 else ""
    verdict = " and ".join(filter(None, [sure, level]))
    return (
        f"On the {on}, the line through what came has the slope {slope:.2f} (95 %: {low:.2f} to {high:.2f}; "
        f"1 is right) and the intercept {intercept:+.2f} ({least:+.2f} to {most:+.2f}; 0 is right): the "
        f"risk is {verdict or 'neither too sure nor too cautious, as far as these students tell'}."
    )


def worrying(audit: Audit, columns: int) -> bool:
    """Tell whether the groups differ by more than luck explains, among so many audited columns."""
    return audit.p_value is not None and audit.p_value < SURE / columns


def groups_sentence(audit: Audit) -> str:
    """Say how the groups with students enough fare: who is found, who gets a false alarm."""
    found, alarms = _between(audit, RECALL), _between(audit, FALSE_POSITIVE_RATE)
    said = []
    if found:
        said.append(f"Of the students who ended at risk, {found} had been called so.")
    if alarms:
        said.append(f"Of the others, {alarms} were called so by mistake.")
    return " ".join(said)


def verdict(audit: Audit, columns: int) -> str:
    """Say whether the groups differ by more than luck, as far as there are students to tell."""
    if audit.p_value is None:
        return TOO_FEW
    luck = percent(audit.p_value, 0 if audit.p_value >= 0.1 else 1)
    if worrying(audit, columns):
        return f"{WORRYING} (luck alone: {luck}). Find out why before relying on it."
    return (
        f"This test is too small to tell. A gap this size would appear by chance in {luck} of such tests "
        "even if the groups were treated alike."
    )


def counterfactuals_sentence(changed: Counterfactuals, title: str) -> str:
    """Say what changing the column alone does to forecasts."""
    asked = f"asked of {changed.n:,} test students"
    if not changed.feature:
        kept = "changes no forecast" if not changed.classes and not changed.most else "changed forecasts"
        return f"Changing {title} alone {kept}, by construction: the model never sees it ({asked})."
    return (
        f"Changing {title} alone changes the likeliest class of {percent(changed.classes, 1)} of the "
        f"students and whether {percent(changed.flagged, 1)} are called at risk; a risk changes by up to "
        f"{100 * changed.most:.0f} points ({asked})."
    )


def flagging_sentence(flagging: Flagging) -> str:
    """Say from which risk on students are called at risk, and how rare that is."""
    share, area, balanced = flagging.at_risk.share, flagging.average_precision, flagging.balanced_accuracy
    said = f"A student is called at risk from a risk of {percent(flagging.threshold)} on."
    if share is None or area.value is None or balanced.value is None:
        return said
    return (
        f"{said} {percent(share)} of the test students ended at risk, "
        f"{percent(flagging.flagged.share or 0.0)} were called so. Average precision is "
        f"{area.value:.3f}{_span(area.low, area.high)}, where guessing has {share:.3f}; balanced accuracy is "
        f"{balanced.value:.3f}{_span(balanced.low, balanced.high)}, where guessing has 0.5."
    )


def price_sentence(price: Price, threshold: float) -> str:
    """Say what calling costs, beside the cheapest threshold that the training data show."""
    cheapest = price.best_threshold
    ends = ""
    if cheapest.low is not None and cheapest.high is not None:
        ends = f" (90 % of resamples: {percent(cheapest.low)} to {percent(cheapest.high)})"
    return (
        f"A missed student costs {price.missed:g}, a false alarm {price.false_alarm:g}: with calibrated "
        f"probabilities, calling from {price.false_alarm:g} / ({price.missed:g} + {price.false_alarm:g}) = "
        f"{percent(threshold)} on costs least. On the test students it cost {_cost(price.here.value)} per "
        f"100{_span(price.here.low, price.here.high, 1)}. On the training students, forecast out of fold, it "
        f"cost {_cost(price.pooled.value)}; the cheapest threshold there is {percent(cheapest.value or 0.0)}"
        f"{ends}, at {_cost(price.best.value)}; calling nobody costs {price.nobody:.1f}, everybody "
        f"{price.everybody:.1f}."
    )


IMBALANCE = (
    "Nothing was resampled or weighted for rare classes: that would distort the probabilities. They are "
    "calibrated, and the threshold is what answers for rarity and cost."
)


def _between(audit: Audit, name: str) -> str:
    known = [(rate.value, group.wrong.label) for group in audit.groups if (rate := group.rate(name))]
    told = sorted((value, label) for value, label in known if value is not None)
    if not told:
        return ""
    (low, lowest), (high, highest) = told[0], told[-1]
    if len(told) == 1 or percent(low) == percent(high):
        return f"{percent(low)} ({', '.join(label for _, label in told)})"
    return f"between {percent(low)} ({lowest}) and {percent(high)} ({highest})"


def _span(low: float | None, high: float | None, digits: int = 3) -> str:
    return "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"


def _cost(value: float | None) -> str:
    return "nothing known" if value is None else f"{value:.1f}"
