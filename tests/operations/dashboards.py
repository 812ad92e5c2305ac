"""The queries of dashboards and rules, as they are in the files."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "monitoring"
BOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
RULES = MONITORING / "prometheus" / "rules.yml"
FILLED_IN = {"$__rate_interval": "1m", "$instance": ".*", "$contract": ".*"}
METRIC = re.compile(r"\b(?:gradecast_\w+|gradecast:[\w:]+|node_\w+|container_(?!label)\w+|up|ALERTS)\b")


def board(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in board(path)["panels"] if panel["type"] != "row"]


def queries(path: Path) -> Iterator[tuple[str, str]]:
    """A board's queries with the titles of their panels, variables filled in."""
    for panel in panels(path):
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in FILLED_IN.items():
                query = query.replace(variable, value)
            yield panel["title"], query


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics_of(query: str) -> set[str]:
    """The names of the metrics that a query asks for."""
    return set(METRIC.findall(re.sub(r'"[^"]*"', '""', query)))
