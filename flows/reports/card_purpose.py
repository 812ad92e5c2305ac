"""The parts of the model card that follow from the contract: purpose, columns, limits, duties."""

from data.columns import Column, Kind
from data.contract import Contract
from flows.reports.markdown import bullets, section, table
from flows.reports.wording import listed, plural, with_unit

NOT_REAL = (
    "**Trained on generated students, not real ones.** It shows what the pipeline does. It knows nothing "
    "of any school, and must not be used on real students."
)
NOT_FOR = (
    "Giving grades, or deciding on admission, exclusion or support without a person who looks into it.",
    "Ranking students against each other, or judging teachers and schools.",
    "Saying what causes a grade. Its reasons are associations in past records.",
    "Students unlike those it learned from: another school, course, age or way of marking.",
)
WHOLE_PERIOD = (
    "counted up over a period, and here over the whole of it.** A count taken part of the way through is too "
    "low, and the forecast made from it wrong. A model that needs the whole period's count cannot warn early "
    "in that period; for that, train one on records as they stood at that time."
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
    "Tell students, parents and staff that forecasts are made, from which columns, and what for.",
    "Human oversight: a named person looks at each forecast before anything follows, and can disagree.",
    "Record-keeping: keep forecasts, the version that made them and later outcomes as long as the law says.",
    "Accuracy: compare forecasts with outcomes every term; stop when the figures leave the intervals above.",
    "Answer requests to see, correct and erase a student's records.",
)


def purpose(contract: Contract, *, generated: bool) -> str:
    """Say what the model is for, and what it is not for."""
    target = contract.target
    return section(
        "What it is for",
        NOT_REAL if generated else "",
        f"It forecasts each student's {target.title.lower()} ({listed(target.labels)}"
        f"{', best first' if target.ordered else ''}), so that an educator can see whom to talk to first, "
        f"and why. At risk means {listed(target.at_risk)}.",
        "### What it is not for",
        bullets(NOT_FOR),
    )


def columns(contract: Contract) -> str:
    """Say which columns it needs and as of when they must be known."""
    lines = [(c.title, _values(c), c.effect or "", c.help) for c in contract.features]
    counted = [column.title for column in contract.features if _grows(column)]
    leaks = [column.title for column in contract.leaks]
    return section(
        "As of when its columns must be known",
        "All of these must be known when a forecast is asked for, and mean what they meant in training.",
        table(["Column", "values", "the outcome", "note"], lines, words=True),
        f"**{listed(counted)}: {WHOLE_PERIOD}" if counted else "",
        f"Known too late or too close to the outcome, and never used: {listed(leaks)}." if leaks else "",
    )


def _values(column: Column) -> str:
    if column.coded:
        return ", ".join(column.codes.values())
    ends = [f"{end:g}" for end in (column.min, column.max) if end is not None]
    return with_unit(" to ".join(ends) if len(ends) == 2 else "any number", column.unit)


def _grows(column: Column) -> bool:
    """Whether a column looks like a count over a period: whole, from 0, of a unit."""
    return column.kind is Kind.INTEGER and column.min == 0 and bool(column.unit)


def limits(test_rows: int) -> str:
    """Say what has not been shown, and what the model cannot know."""
    shown = (
        f"It was tested on {plural(test_rows, 'student')} of the source it was trained on. How it does "
        "elsewhere, or in a later year, has not been shown."
    )
    return section("Limits", bullets([shown, *LIMITS]))


def duties() -> str:
    """Say what an institution that uses the model must tell and keep."""
    return section("What the institution must tell and keep", LAW, bullets(DUTIES))
