"""How often the drift gate alarms falsely, and how often it catches each scenario, on generated cohorts.

Champions are trained with fixed parameters on cohorts of 2,392 students; every batch is new students. Run
`python -m bench.drift_gate`, or with `--quick` for a rough look.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from data.cohorts.grades import SCENARIOS, generate
from data.contract.contract import Contract, load_contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from flows.drift_gate import DRIFT, Finding
from flows.drift_gate.relation import LABELS, LOSS, RESIDUAL
from flows.drift_gate.samples import QUARANTINE, Reference, faults_text
from flows.drift_gate.verdict import Champion, DriftVerdict, gate
from flows.training.data import stratified_folds
from flows.training.families import refit_booster
from flows.training.ordinal import fit_sigma
from flows.training.rows import training_data

TRAINED_ROWS, FOLDS, ROUNDS, PARAMS = 2392, 5, 600, {"max_depth": 1, "learning_rate": 0.05}
CLEAN_SIZES, POWER_SIZES = (50, 100, 300, 1000, 2000), (50, 100, 300, 1000)
JUDGED_SIZE = 300
BAD_SHARE = 0.15  # above it, `process` has stopped before the gate is asked
CLEAN, NO_SCORE = "no drift", "label-tail, no score"
GATES = ("columns", "class mix", "quarantine", "loss", "residual", "labels")
FALSE_ALARMS, POWER = 0.06, 0.90
CLEAN_ENOUGH, POWER_ENOUGH = 1_000, 100  # batches


@dataclass(frozen=True)
class Batch:
    """One batch to judge: a scenario, its size and its seed."""

    scenario: str
    rows: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What was said of a batch: the gates that fired, "process" for a stop before them."""

    scenario: str
    rows: int
    fired: frozenset[str]


def batches(champion: int, clean: int, judged: int, other: int) -> Iterator[Batch]:
    """List a champion's batches: `clean` of each size; of a scenario `judged` at 300 rows, else `other`."""
    repeats = [(CLEAN, rows, clean) for rows in CLEAN_SIZES]
    for scenario in (*SCENARIOS, NO_SCORE):
        repeats += [(scenario, rows, judged if rows == JUDGED_SIZE else other) for rows in POWER_SIZES]
    each = [(scenario, rows) for scenario, rows, count in repeats for _ in range(count)]
    for place, (scenario, rows) in enumerate(each):
        yield Batch(scenario, rows, 1_000_000 + 10_000 * champion + place)


def train_champion(parsed: pd.DataFrame, contract: Contract, seed: int) -> Champion:
    """Fit the score by depth-1 trees and sigma on out-of-fold latents; give matrix → probabilities."""
    data = training_data(parsed, contract)
    latent = np.empty(len(data.y))
    for train, held in stratified_folds(data, FOLDS, seed):
        latent[held] = refit_booster(data.rows(train), PARAMS, ROUNDS, seed).model.latent(data.X[held])
    sigma, _ = fit_sigma(latent, data.y, np.asarray(data.bounds), near=0.2)
    refitted = refit_booster(data, PARAMS, ROUNDS, seed)
    link = refitted.link(sigma)
    return lambda X: link.probabilities(refitted.model.latent(X))


def judge(batch: Batch, reference: Reference, champion: Champion, contract: Contract) -> Outcome:
    """Generate a batch, quarantine it and ask the gate."""
    scenario = {CLEAN: None, NO_SCORE: "label-tail"}.get(batch.scenario, batch.scenario)
    raw = generate(batch.rows, batch.seed, scenario, first_id=1_000_000)
    if batch.scenario == NO_SCORE:
        raw["GPA"] = np.nan
    parsed = parse(raw, contract)
    clean, bad = quarantine(parsed, contract)
    fired = fired_gates(gate(parsed, bad, reference, champion, None, contract), contract)
    stopped = len(parsed) - len(clean) > BAD_SHARE * len(parsed)
    return Outcome(batch.scenario, batch.rows, fired | {"process"} if stopped else fired)


def fired_gates(verdict: DriftVerdict, contract: Contract) -> frozenset[str]:
    """Name the kinds of gate that fired."""
    found = (*verdict.columns, *verdict.relation)
    return frozenset(_kind(finding, contract) for finding in found if finding.verdict == DRIFT)


def _kind(finding: Finding, contract: Contract) -> str:
    kinds = {contract.target.column: "class mix", LOSS: "loss", RESIDUAL: "residual", LABELS: "labels"}
    return kinds.get(finding.name, "quarantine" if finding.name.startswith("quarantined") else "columns")


def run_champion(job: tuple[int, int, int, int]) -> list[Outcome]:
    """Train one champion and judge all its batches."""
    number, clean, judged, other = job
    contract = load_contract("grade_class")
    parsed = parse(generate(TRAINED_ROWS, seed=number + 1), contract)
    sound, bad = quarantine(parsed, contract)
    reference = Reference(parsed.assign(**{QUARANTINE: faults_text(parsed, bad)}), len(sound))
    champion = train_champion(sound, contract, seed=number)
    return [judge(batch, reference, champion, contract) for batch in batches(number, clean, judged, other)]


def rate(
    outcomes: list[Outcome], gates: tuple[str, ...] = (*GATES, "process")
) -> tuple[int, int, float, float]:
    """Count the batches at which any of these gates fired; give their number and the exact 95 % interval."""
    hits = sum(bool(outcome.fired & set(gates)) for outcome in outcomes)
    interval = binomtest(hits, len(outcomes)).proportion_ci(0.95, method="exact")
    return hits, len(outcomes), interval.low, interval.high


def report(outcomes: list[Outcome]) -> Iterator[str]:
    """Say the false alarm rates, the power and whether they are what they must be."""
    clean = [outcome for outcome in outcomes if outcome.scenario == CLEAN]
    yield f"{'false alarms':<24}{'batches':>8}{'alarms':>8}{'rate':>8}{'95 % interval':>18}   by gate"
    for rows in (*CLEAN_SIZES, None):
        some = [outcome for outcome in clean if rows in (outcome.rows, None)]
        hits, count, low, high = rate(some)
        split = "  ".join(f"{name} {rate(some, (name,))[0]}" for name in GATES)
        title = "all" if rows is None else f"{rows} rows"
        yield f"{title:<24}{count:>8}{hits:>8}{hits / count:>8.1%}{low:>9.1%} –{high:>7.1%}   {split}"
    met = _met(high <= FALSE_ALARMS, len(clean), CLEAN_ENOUGH)
    yield f"upper bound {high:.1%}, at most {FALSE_ALARMS:.0%}: {met}"
    yield ""
    yield f"{'caught':<24}" + "".join(f"{f'n = {rows}':>10}" for rows in POWER_SIZES) + "   by gate at 300"
    for scenario in (*SCENARIOS, NO_SCORE):
        yield _power_line(scenario, [outcome for outcome in outcomes if outcome.scenario == scenario])


def _power_line(scenario: str, outcomes: list[Outcome]) -> str:
    cells, split, verdict = "", "", ""
    for rows in POWER_SIZES:
        some = [outcome for outcome in outcomes if outcome.rows == rows]
        if not some:
            cells += f"{'–':>10}"
            continue
        hits, count, _, _ = rate(some)
        cells += f"{hits / count:>10.0%}"
        if rows == JUDGED_SIZE:
            by_gate = {name: rate(some, (name,))[0] / count for name in ("process", *GATES)}
            split = "  ".join(f"{name} {share:.0%}" for name, share in by_gate.items() if share)
            verdict = _met(hits / count >= POWER, count, POWER_ENOUGH)
    return f"{scenario:<24}{cells}   {verdict}: {split}"


def _met(holds: bool, batches: int, enough: int) -> str:
    if batches < enough:
        return "too few batches to tell"
    return "met" if holds else "NOT met"


def main() -> None:
    """Judge batches of many champions in two processes and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rough look in under a minute")
    quick = parser.parse_args().quick
    champions, clean, judged, other = (4, 2, 1, 0) if quick else (34, 6, 3, 1)
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(2) as pool:
        jobs = [(number, clean, judged, other) for number in range(champions)]
        for done, some in enumerate(pool.map(run_champion, jobs), start=1):
            outcomes += some
            print(
                f"\r{done} of {champions} champions, {len(outcomes)} batches",
                end="",
                file=sys.stderr,
                flush=True,
            )
    print(file=sys.stderr)
    print(*report(outcomes), sep="\n")


if __name__ == "__main__":
    main()
