"""What is counted for Prometheus, in each worker.

| name | what |
|---|---|
| `gradecast_requests_total{route,status}` | requests answered; a route that is not ours is `other` |
| `gradecast_request_seconds{route,status}` | histogram of how long they took |
| `gradecast_predictions_total{grade_class}` | forecasts by likeliest class |
| `gradecast_at_risk_total` | sum of the forecasts' at-risk probabilities: students expected at risk |
| `gradecast_at_risk_share` | that sum by the number of forecasts, since the start |
| | these three in tens for who brings no key |
| `gradecast_batch_rows_total{result}` | rows of batches, `answered` or `refused` |
| `gradecast_model_info{model,version}` | 1 for the model that answers |
| `gradecast_model_age_seconds` | seconds since it was made |
| `gradecast_reloads_total{result}` | switches of the model, `ok` or `refused` |
| `gradecast_measured_…{contract,version,about}` | what the monitor measured last: serving/measured.py |
| `gradecast_log_backlog_files`, `…_bytes`, `…_seconds` | what the log does not have yet, its age |
"""

import logging
import os
from collections import Counter as Tally
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, mmap_dict, values

from serving.metrics_files import ROOM, reserve

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


log = logging.getLogger("gradecast.metrics")
_in_a_file: Any = mmap_dict.MmapedDict
_kept_in: Any = values


class Counts(_in_a_file):  # type: ignore[misc]  # it has no types
    """A file of counts that has its place on the disk before it is written to.

    Where the disk is full, a worker counts on in its memory, of which /metrics does not tell.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            reserve(Path(filename), ROOM)
            super().__init__(filename, read_mode)
        except OSError as error:
            log.warning("the disk has no room for what this worker counts: %s", error)
            super().__init__(_in_memory(b""))

    def _init_value(self, key: str) -> None:
        most = self._used + len(key.encode()) + 32  # with length, padding, value and time
        if most > self._capacity:
            try:
                reserve(Path(self._fname), 2 * self._capacity)
            except OSError:
                used = bytes(self._m[: self._used])
                self.close()
                super().__init__(_in_memory(used + bytes(self._capacity)))
        super()._init_value(key)


def _in_memory(content: bytes) -> str:
    """Return the name of a file in memory that has some content; it is there for as long as this process."""
    descriptor = os.memfd_create("counts")
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"


_kept_in.MmapedDict = Counts  # there is no other way to name a class of one's own


class Metrics:
    """One worker's counters."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        labels = ("route", "status")
        self._requests = Counter("gradecast_requests", "Requests answered", labels, registry=own)
        self._seconds = Histogram(
            "gradecast_request_seconds", "Seconds that a request took", labels, buckets=BUCKETS, registry=own
        )
        self._of_route: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._classes = Counter(
            "gradecast_predictions", "Forecasts by likeliest class", ("grade_class",), registry=own
        )
        self._at_risk = Counter("gradecast_at_risk", "Students expected at risk", registry=own)
        self._rows = Counter("gradecast_batch_rows", "Rows of batches", ("result",), registry=own)

    def answered(self, route: str, status: str, seconds: float) -> None:
        """Count one answered request."""
        children = self._of_route.get((route, status))
        if children is None:
            children = self._requests.labels(route, status), self._seconds.labels(route, status)
            self._of_route[route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def predicted(self, classes: Iterable[str], at_risk: float) -> None:
        """Count forecasts by their likeliest classes, and the sum of their at-risk probabilities."""
        for label, count in Tally(classes).items():
            self._classes.labels(label).inc(count)
        self._at_risk.inc(at_risk)

    def scored(self, answered: int, refused: int) -> None:
        """Count the rows of a batch."""
        self._rows.labels("answered").inc(answered)
        self._rows.labels("refused").inc(refused)
