"""What Locust wrote down, second by second, and where a server stops keeping up."""

import csv
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

LEAST_GAIN = 0.5
"""Of the growth in users that throughput must follow; less, and the step before was the knee."""
WORST_FAILURES = 0.01


class Second(NamedTuple):
    """One second of a load; response times in milliseconds, of the seconds just before."""

    at: float
    """Seconds since the start."""
    users: int
    rate: float
    """Answers a second."""
    failures: float
    """Failures a second."""
    median: float
    p95: float
    p99: float


class Step(NamedTuple):
    """The mean of what was seen with one number of users."""

    users: int
    rate: float
    failures: float
    """Share of the answers."""
    median: float
    p95: float
    p99: float


def read_history(path: Path) -> list[Second]:
    """Return the seconds of Locust's `…_stats_history.csv`, of all requests together."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["Name"] == "Aggregated" and row["50%"] != "N/A"]
    start = int(rows[0]["Timestamp"]) if rows else 0
    return [
        Second(
            int(row["Timestamp"]) - start,
            int(row["User Count"]),
            *(float(row[name]) for name in ("Requests/s", "Failures/s", "50%", "95%", "99%")),
        )
        for row in rows
    ]


def steps_of(seconds: Iterable[Second]) -> list[Step]:
    """Return the means of each number of users, over the second half of its time: before, it settles."""
    by_users: dict[int, list[Second]] = {}
    for second in seconds:
        by_users.setdefault(second.users, []).append(second)
    longest = max((len(found) for found in by_users.values()), default=0)
    settled = {
        users: found[len(found) // 2 :] for users, found in by_users.items() if 2 * len(found) > longest
    }
    return [_step(users, found) for users, found in sorted(settled.items())]


def _step(users: int, found: list[Second]) -> Step:
    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(found)

    rate = mean(second.rate for second in found)
    failures = mean(second.failures for second in found) / rate if rate else 1.0
    times = (mean(getattr(second, name) for second in found) for name in ("median", "p95", "p99"))
    return Step(users, rate, failures, *times)


def knee(steps: list[Step]) -> Step | None:
    """Return the last step before throughput stops following the users, or answers fail.

    None where the ramp ended before that.
    """
    for before, after in pairwise(steps):
        gain = (after.rate / before.rate - 1) / (after.users / before.users - 1)
        if gain < LEAST_GAIN or after.failures > WORST_FAILURES:
            return before
    return None
