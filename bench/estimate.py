"""How close the accuracy estimated without grades comes to the one that turns out, under covariate shift.

Champions are trained on generated cohorts of 2,392 students; batches are new students whom the scenarios of
data/cohorts/grades.py, or sampling by a random rule, made unlike them. Run `python -m bench.estimate`.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.drift_gate import train_champion
from data.cohorts.grades import generate
from data.contract.contract import Contract, load_contract
from data.rows.frames import matrix, parse, target_index
from flows.drift_gate.verdict import Champion
from flows.monitoring.window import estimate_accuracy

TRAINED_ROWS, CHAMPIONS, POOL = 2392, 20, 3_000
JUDGED, JUDGED_BATCHES, NEAR = 500, 10, 0.03  # of each champion: 200 batches in all
SIZES, BATCHES = (30, 50, 100, 500, 2_000), 60  # of each champion and size


@dataclass(frozen=True)
class Judged:
    """What was estimated of a batch, and what came."""

    rows: int
    estimated: float
    low: float
    high: float
    realised: float


def shifted(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Draw students unlike the champion's: by a scenario, by sampling with a random rule, or both.

    The rule weighs each student by exp(z · w), z the standardised columns and w random.
    """
    seed = int(rng.integers(1, 2**31))
    rise = float(rng.uniform(-8, 8)) if rng.random() < 0.5 else 0.0
    pool = generate(max(POOL, 3 * rows), seed, "absences" if rise else None, rise or None)
    if rise and rng.random() < 0.5:
        return pool.head(rows)
    asked = pool.drop(columns=["StudentID", "GPA", "GradeClass"]).astype(float)
    z = (asked - asked.mean()) / asked.std()
    weights = np.exp(z.to_numpy() @ rng.normal(0, 0.3, z.shape[1]))
    chosen = rng.choice(len(pool), rows, replace=False, p=weights / weights.sum())
    return pool.iloc[chosen].assign(StudentID=np.arange(1, rows + 1)).reset_index(drop=True)


def judge(champion: Champion, contract: Contract, rng: np.random.Generator, rows: int) -> Judged:
    """Estimate one batch's accuracy and see what it is."""
    frame = parse(shifted(rng, rows), contract)
    probabilities = np.asarray(champion(matrix(frame, contract)))
    found = estimate_accuracy(probabilities, TRAINED_ROWS)
    realised = float((probabilities.argmax(axis=1) == target_index(frame, contract)).mean())
    return Judged(rows, found.share, found.low, found.high, realised)


def run_champion(number: int) -> tuple[list[Judged], list[Judged]]:
    """Train one champion; judge its share of the 200 batches, and its batches of each size."""
    contract = load_contract("grade_class")
    champion = train_champion(parse(generate(TRAINED_ROWS, seed=number + 1), contract), contract, number)
    rng = np.random.default_rng(1_000 + number)
    near = [judge(champion, contract, rng, JUDGED) for _ in range(JUDGED_BATCHES)]
    return near, [judge(champion, contract, rng, rows) for rows in SIZES for _ in range(BATCHES)]


def report(near: list[Judged], sized: list[Judged]) -> Iterator[str]:
    """Say how many estimates are near, and how many intervals hold what came, of each size."""
    gaps = np.array([batch.realised - batch.estimated for batch in near])
    accuracies = np.array([batch.realised for batch in near])
    share = (np.abs(gaps) <= NEAR).mean()
    yield f"{len(near)} shifted batches of {JUDGED} rows"
    yield f"their accuracy: {accuracies.min():.3f} to {accuracies.max():.3f}"
    yield f"within 3 points: {share:.1%} (at least 90 %: {'met' if share >= 0.9 else 'NOT met'})"
    yield f"mean gap {gaps.mean():+.4f}, standard deviation {gaps.std():.4f}"
    yield ""
    yield f"{'rows':>8}{'batches':>10}{'width':>10}{'covered':>10}   85 to 95 %"
    for rows in SIZES:
        some = [batch for batch in sized if batch.rows == rows]
        held = np.mean([batch.low - 1e-9 <= batch.realised <= batch.high + 1e-9 for batch in some])
        width = np.mean([batch.high - batch.low for batch in some])
        met = "met" if 0.85 <= held <= 0.95 else "NOT met"
        yield f"{rows:>8}{len(some):>10}{width:>10.3f}{held:>10.1%}   {met}"


def main() -> None:
    """Judge the batches of many champions in two processes and print the tables."""
    near: list[Judged] = []
    sized: list[Judged] = []
    with ProcessPoolExecutor(2) as pool:
        for done, (some, more) in enumerate(pool.map(run_champion, range(CHAMPIONS)), start=1):
            near += some
            sized += more
            print(f"\r{done} of {CHAMPIONS} champions", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(*report(near, sized), sep="\n")


if __name__ == "__main__":
    main()
