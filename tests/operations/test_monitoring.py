"""Rules and dashboards ask for what is there: names that the predictor really exports."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serving.app import create_app
from serving.metrics import ASKED, BOUNDS, SHOWN, MeasuredFigure, write_measured
from serving.settings import PredictorSettings
from serving.sync.bring import sync
from tests.operations.dashboards import BOARDS, MONITORING, RULES, board, metrics_of, panels, queries, rules
from tests.operations.debian import program

ROOT = Path(__file__).parents[2]
OTHERS = ("node_", "container_")  # of exporters that are not ours


@pytest.fixture
def exported(
    bundle_folder: Path,
    student: dict[str, Any],
    tmp_path: Path,
    settings_for: Callable[..., PredictorSettings],
) -> set[str]:
    """The names of all samples of a predictor, once everything has happened that it counts."""
    settings = settings_for(GRADECAST_HOME=tmp_path, GRADECAST_MODEL_URI=bundle_folder)
    sync(settings)
    measured = {
        "contract": "c",
        "model_version": "1",
        "at": datetime.now(UTC),
        "about": "",
        "verdict": "pass",
    }
    bounds = dict.fromkeys(BOUNDS, 1.0)
    write_measured(
        tmp_path,
        [MeasuredFigure.model_validate({**measured, **bounds, "name": name}) for name in (*SHOWN, ASKED)],
    )
    client = create_app(settings).test_client()
    assert client.post("/predict", json=student).status_code == 200
    lines = [",".join(student), ",".join(map(str, student.values()))]
    assert client.post("/predict/batch", data="\n".join(lines), content_type="text/csv").text
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {sample.name for family in families for sample in family.samples}


def test_every_metric_of_rules_and_panels_is_one_that_is_exported(exported: set[str]) -> None:
    known = exported | {rule["record"] for rule in rules() if "record" in rule} | {"up", "ALERTS"}
    asked = {(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()}
    asked |= {found for path in BOARDS for found in queries(path)}
    missing = {(title, name) for title, query in asked for name in metrics_of(query) - known}
    assert {(title, name) for title, name in missing if not name.startswith(OTHERS)} == set()


def test_every_figure_that_is_shown_has_a_panel() -> None:
    asked = {name for path in BOARDS for _, query in queries(path) for name in metrics_of(query)}
    assert {f"gradecast_measured_{name}" for name in SHOWN} - asked == {"gradecast_measured_relation"}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_is_one_that_grafana_can_load(path: Path) -> None:
    loaded = board(path)
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= loaded.keys()
    ids = [panel["id"] for panel in loaded["panels"]]
    assert len(ids) == len(set(ids))
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in loaded["panels"]]
    assert all(x + w <= 24 for x, _, w, _ in places)
    assert len(cells := [cell for place in places for cell in cells_of(place)]) == len(set(cells)), (
        "no overlap"
    )
    known = {"prometheus"}
    sources = {panel["datasource"]["uid"] for panel in panels(path)}
    assert sources == known == {datasource()["uid"]}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_has_nothing_that_grafanas_schema_does_not_know(path: Path) -> None:
    why = "grafana-foundation-sdk is not installed"
    encoder, plugins, model = (
        pytest.importorskip(f"grafana_foundation_sdk.{name}", reason=why)
        for name in ("cog.encoder", "cog.plugins", "models.dashboard")
    )
    plugins.register_default_plugins()
    read = json.loads(encoder.JSONEncoder(sort_keys=True).encode(model.Dashboard.from_json(board(path))))
    assert list(lost(board(path), read)) == []


def lost(before: object, after: object, place: str = "") -> Iterator[str]:
    """Yield the places of what is in the first and not in the second; what is empty is no loss."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in after or value:
                yield from lost(value, after.get(name), f"{place}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{place}[{number}]")
    elif before != after and before:
        yield place


def cells_of(place: tuple[int, ...]) -> list[tuple[int, int]]:
    x, y, width, height = place
    return [(column, row) for column in range(x, x + width) for row in range(y, y + height)]


def datasource() -> dict[str, Any]:
    path = MONITORING / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    assert isinstance(source, dict)
    return source


def test_every_alert_is_explained_to_the_person_on_call() -> None:
    explained = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE))
    assert {rule["alert"] for rule in rules() if "alert" in rule} == explained


def test_rules_fire_when_their_cause_is_there_and_not_before() -> None:
    promtool = program("prometheus", "promtool")
    done = subprocess.run(
        [promtool, "test", "rules", "rules.test.yml"],
        cwd=RULES.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = set(re.findall(r"alertname: (\w+)", (RULES.parent / "rules.test.yml").read_text()))
    assert {rule["alert"] for rule in rules() if "alert" in rule} == tested


def test_prometheus_reads_its_configuration() -> None:
    promtool = program("prometheus", "promtool")
    subprocess.run([promtool, "check", "config", "prometheus.yml"], cwd=RULES.parent, check=True)
