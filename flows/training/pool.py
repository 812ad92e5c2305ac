"""Work in parallel processes, told as it gets done."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from joblib import Parallel, delayed

IDLE_SECONDS = 20  # after which a worker process ends and gives its memory back


def run(
    work: Sequence[Callable[[], Any]], jobs: int, on_answer: Callable[[int, Any], None] | None = None
) -> list[Any]:
    """Call every piece of work, `jobs` at a time, and return the answers in the work's order.

    `on_answer` is called with each as it comes, and with how many there are by then.
    One job runs in this process; more run in new processes (never forked: a booster that was used
    before a fork hangs), one thread each.
    """
    numbered = (delayed(_numbered)(number, piece) for number, piece in enumerate(work))
    pool = Parallel(
        n_jobs=jobs,
        backend="loky",
        batch_size=1,
        return_as="generator_unordered",
        idle_worker_timeout=IDLE_SECONDS,
        initializer=_end_with_parent,
        initargs=(os.getpid(),),
    )
    answers: dict[int, Any] = {}
    with warnings.catch_warnings():  # an idle worker ended as the next work came: another is started
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        for number, answer in pool(numbered):
            answers[number] = answer
            if on_answer:
                on_answer(len(answers), answer)
    return [answers[number] for number in range(len(work))]


def _numbered(number: int, piece: Callable[[], Any]) -> tuple[int, Any]:
    return number, piece()


def _end_with_parent(parent: int) -> None:
    """Let this worker end within a second of its parent's being killed, in the middle of a fit too."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
