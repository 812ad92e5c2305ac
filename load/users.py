"""The users, for Locust: mostly one student, sometimes with reasons, sometimes a class of thirty.

Records are drawn from the schema that the predictor itself tells, so that it may serve any contract.
LOAD_STEPS (users of each step) and LOAD_STEP_SECONDS make a ramp; without them Locust's own options hold.
"""

import os
from typing import Any, ClassVar

import numpy as np
from locust import FastHttpUser, LoadTestShape, between, constant, task

CLASS = 30  # students
STEPS = [int(users) for users in os.environ.get("LOAD_STEPS", "").split(",") if users]
STEP_SECONDS = float(os.environ.get("LOAD_STEP_SECONDS", "10"))
KEY = os.environ.get("GRADECAST_API_KEY", "")

Node = dict[str, Any]
random = np.random.default_rng()


class Educator(FastHttpUser):
    """One who asks, reads, and asks again."""

    wait_time = between(0.5, 1.5)
    schema: ClassVar[Node] = {}

    def on_start(self) -> None:
        """Learn what a record is, once for all users."""
        if not Educator.schema:
            with self.rest("GET", "/openapi.json") as answer:
                Educator.schema = answer.js["components"]["schemas"]["Record"]

    @task(8)
    def one_student(self) -> None:
        """Ask for one forecast."""
        self._ask("/predict", draw(self.schema))

    @task(1)
    def one_student_with_reasons(self) -> None:
        """Ask for one forecast and its reasons."""
        self._ask("/predict?explain=true", draw(self.schema))

    @task(1)
    def a_class(self) -> None:
        """Ask for the forecasts of a class at once."""
        self._ask("/predict", [draw(self.schema) for _ in range(CLASS)], "/predict (a class of 30)")

    def _ask(self, path: str, body: object, name: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
        self.client.post(path, json=body, name=name or path, headers=headers)


def draw(schema: Node) -> Node:
    """Draw a record: a code out of those there are, a number out of its range."""
    found = {name: schema["properties"][name] for name in schema["required"]}
    return {name: _value(one) for name, one in found.items()}


def _value(schema: Node) -> object:
    if "enum" in schema:
        return schema["enum"][random.integers(len(schema["enum"]))]
    low, high = schema.get("minimum", 0), schema.get("maximum", 1)
    if schema.get("type") == "integer":
        return int(random.integers(low, high, endpoint=True))
    return float(random.uniform(low, high))


if STEPS:

    class Ramp(LoadTestShape):
        """More and more users, who do not wait between two questions."""

        def tick(self) -> tuple[int, float] | None:
            """Return the users of the step that it is time for; None at the end."""
            step = int(self.get_run_time() // STEP_SECONDS)  # type: ignore[no-untyped-call]
            return (STEPS[step], max(10, STEPS[step])) if step < len(STEPS) else None

    Educator.wait_time = constant(0)
