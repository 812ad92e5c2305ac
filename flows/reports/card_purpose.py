"""The parts of the model card that follow from the contract: purpose, columns, limits, duties."""

from data.card_words import DUTIES, LAW, LIMITS, NOT_FOR, NOT_REAL, TOO_EARLY, WHOLE_PERIOD
from data.columns import Column
from data.contract import Contract
from flows.reports.markdown import bullets, section, table
from flows.reports.wording import listed, plural, with_unit


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
