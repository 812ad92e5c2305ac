"""The parts of the model card on who is called at risk, and on whom the errors fall."""

from data import card_sentences as said
from data.card_audit import GAP, MISSED, Audit, Difference, Group, Rate
from data.card_calls import Calls
from data.card_shares import Estimate
from data.contract import Contract
from flows.reports.groups import ENOUGH_ROWS
from flows.reports.markdown import section, table
from flows.reports.wording import NOTHING, count, listed, percent
from flows.training.metrics import FEW

TOO_FEW = "too few rows"
APART = ["Farthest apart", "difference, points", "ratio", "by luck"]
COLUMNS = ("called", "found", "false_alarms", "right", "accuracy", "gap")


def call_section(calls: Calls) -> str:
    """Say how students are called at risk, how rare that is, and what it costs."""
    costs = (
        said.price_sentence(calls.price, calls.threshold)
        if calls.price
        else "The contract names no costs of the two mistakes, so the threshold is one half."
    )
    return section("Who is called at risk", said.calls_sentence(calls), said.IMBALANCE, costs)


def fairness_section(audits: tuple[Audit, ...], contract: Contract) -> str:
    """Give what each group of the audited columns meets, and claim nothing of small ones."""
    titles = [contract.columns[audit.column].title for audit in audits]
    if not audits:
        return section("Fair to all?", "The contract names no audit column, so this was not looked at.")
    hidden = [contract.columns[a.column].title for a in audits if not (a.flips and a.flips.feature)]
    seen = [title for title in titles if title not in hidden]
    pairs = zip(audits, titles, strict=True)
    parts = [part for audit, title in pairs for part in _column(audit, title, len(audits))]
    return section(
        "Fair to all?",
        f"{listed(hidden)}: recorded for this audit, never seen by the model." if hidden else "",
        f"{listed(seen)}: used by the model, and audited." if seen else "",
        f"Nothing is claimed of a group with fewer than {ENOUGH_ROWS} test students, nor of a rate with "
        f"fewer than {FEW} behind it. Intervals are 90 %: exact ones of shares, bootstrap "
        "ones of differences.",
        *parts,
    )


def _column(audit: Audit, title: str, columns: int) -> list[str]:
    header = [title, "test rows", "ended at risk", *(said.RATES[name].lower() for name in COLUMNS)]
    verdict = said.verdict(audit, columns)
    return [
        f"### {title}",
        table(header, map(_group_line, audit.groups)),
        table(APART, [_difference_line(d) for d in audit.differences if d.name != MISSED])
        if audit.differences
        else "",
        said.groups_sentence(audit),
        f"**{verdict}**" if said.worrying(audit, columns) else verdict,
        said.flips_sentence(audit.flips, title) if audit.flips else "",
    ]


def _group_line(group: Group) -> list[str]:
    n = group.wrong.n
    if n < ENOUGH_ROWS:
        return [group.wrong.label, count(n), TOO_FEW, *[""] * len(COLUMNS)]
    rates = [group.rate(name) for name in COLUMNS]
    return [group.wrong.label, count(n), percent(group.true_risk), *(_rate(rate) for rate in rates)]


def _rate(rate: Rate | None) -> str:
    if rate is None or rate.value is None:
        return TOO_FEW
    return _estimate(rate) if rate.name == GAP else _estimate(rate, " %")


def _difference_line(found: Difference) -> list[str]:
    luck = NOTHING if found.luck is None else percent(found.luck, 1)
    ratio = NOTHING if found.ratio is None else _estimate(found.ratio, "", 1, 2)
    return [said.RATES[found.name], _estimate(found), ratio, luck]


def _estimate(found: Estimate, unit: str = "", by: float = 100, digits: int = 0) -> str:
    """Return a figure with its interval, in points of percent unless told otherwise."""
    if found.value is None:
        return NOTHING
    value, *ends = (
        f"{by * end:z.{digits}f}" for end in (found.value, found.low, found.high) if end is not None
    )
    return f"{value}{unit} ({' to '.join(ends)})" if ends else f"{value}{unit}"
