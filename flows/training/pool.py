"""Work in parallel processes, told as it gets done."""

from collections.abc import Callable, Sequence
from typing import Any

from joblib import Parallel, delayed

OnDone = Callable[[int, int], None]  # units of work done, and in all


def run(work: Sequence[Callable[[], Any]], jobs: int, on_done: OnDone | None = None) -> list[Any]:
    """Call every piece of work, `jobs` at a time, and return the answers in the work's order.

    One job runs in this process; more run in new processes (never forked: a booster that was used
    before a fork hangs), one thread each.
    """
    numbered = (delayed(_numbered)(number, piece) for number, piece in enumerate(work))
    pool = Parallel(n_jobs=jobs, backend="loky", batch_size=1, return_as="generator_unordered")
    answers: dict[int, Any] = {}
    for number, answer in pool(numbered):
        answers[number] = answer
        if on_done:
            on_done(len(answers), len(work))
    return [answers[number] for number in range(len(work))]


def _numbered(number: int, piece: Callable[[], Any]) -> tuple[int, Any]:
    return number, piece()
