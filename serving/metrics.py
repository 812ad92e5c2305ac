"""What is counted for Prometheus, in each worker.

| name | what |
|---|---|
| `gradecast_requests_total{route,status}` | requests answered; a route that is not ours is `other` |
| `gradecast_request_seconds{route,status}` | histogram of how long they took |
| `gradecast_predictions_total{grade_class}` | forecasts by likeliest class |
| `gradecast_at_risk_total` | sum of the forecasts' at-risk probabilities: students expected at risk |
| `gradecast_at_risk_share` | that sum by the number of forecasts, since the start |
| `gradecast_batch_rows_total{result}` | rows of batches, `answered` or `refused` |
| `gradecast_model_info{model,version}` | 1 for the model that answers |
| `gradecast_model_age_seconds` | seconds since it was made |
| `gradecast_reloads_total{result}` | switches of the model, `ok` or `refused` |
| `gradecast_measured_…{contract,version,about}` | what the monitor measured last: serving/measured.py |
| `gradecast_log_backlog_files`, `…_bytes`, `…_seconds` | what the log does not have yet, its age |
"""

from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


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
