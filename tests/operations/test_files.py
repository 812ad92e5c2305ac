"""What containers and workflows are made from: sound, pinned, and without a secret that works."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml

from flows.runtime.server import closed
from flows.settings import Settings

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
COMPOSE = ROOT / "docker-compose.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = [*sorted((ROOT / "containers").glob("*.sh")), ROOT / ".ci" / "run"]
KUBERNETES = sorted((ROOT / "containers" / "kubernetes").glob("*.yaml"))
POOLS = sorted((ROOT / "containers" / "pools").glob("*.json"))
YAML = [
    COMPOSE,
    ROOT / "render.yaml",
    ROOT / "prefect.yaml",
    *WORKFLOWS,
    *(ROOT / "monitoring").rglob("*.yml"),
    *KUBERNETES,
]
SECRETS = {
    *("POSTGRES_PASSWORD", "MLFLOW_DB_PASSWORD", "PREFECT_DB_PASSWORD", "LOG_DB_PASSWORD"),
    *("GRAFANA_PASSWORD", "PREFECT_PASSWORD", "GRADECAST_API_KEY", "GRADECAST_ID_KEY"),
}
STYLE = "{extends: relaxed, rules: {line-length: disable}}"
LINTERS: dict[str, list[str | Path]] = {
    "Dockerfile": ["hadolint", ROOT / "Dockerfile"],
    "compose": ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE],
    "workflows": ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
    "time limits": [
        "check-jsonschema",
        "--builtin-schema",
        "custom.github-workflows-require-timeout",
        *WORKFLOWS,
    ],
    "updates": ["check-jsonschema", "--builtin-schema", "vendor.renovate", ROOT / "renovate.json"],
    "scripts": ["shellcheck", *SCRIPTS],
    "YAML": ["yamllint", "--strict", "--config-data", STYLE, *YAML],
}


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


@pytest.mark.parametrize("name", LINTERS)
def test_linters_have_nothing_to_say(name: str) -> None:
    linter, *rest = LINTERS[name]
    command: list[str | Path] = [TOOLS / linter, *rest]
    if not (TOOLS / linter).exists():
        pytest.skip(f"{linter} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_image_that_is_not_ours_is_pinned_by_digest() -> None:
    images = {service["image"] for service in services().values() if "build" not in service}
    images |= set(re.findall(r"^ARG BASE=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    images |= {image for path in WORKFLOWS for image in re.findall(r"container: (\S+)", path.read_text())}
    assert [image for image in images if not re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", image)] == []


def test_every_action_is_pinned_by_commit_and_says_its_version() -> None:
    used = [line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())]
    assert [line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", line)] == []
    assert used


def test_workflows_may_do_nothing_that_a_job_does_not_ask_for() -> None:
    loaded = {path.stem: yaml.safe_load(path.read_text()) for path in WORKFLOWS}
    assert all(workflow["permissions"] == {} for workflow in loaded.values())
    asked = [job["permissions"] for workflow in loaded.values() for job in workflow["jobs"].values()]
    assert all(permissions == {"contents": "read"} for permissions in asked)
    assert not any("pull_request_target" in path.read_text() for path in WORKFLOWS)


def test_only_the_delivery_reads_secrets_and_it_never_runs_for_a_pull_request() -> None:
    reads = {path.stem for path in WORKFLOWS if "secrets." in path.read_text()}
    assert reads == {"deliver"}
    (deliver,) = [yaml.safe_load(path.read_text()) for path in WORKFLOWS if path.stem == "deliver"]
    assert set(deliver[True]) == {"workflow_run"}  # YAML reads the key `on` as true
    assert "event.workflow_run.event == 'push'" in deliver["jobs"]["push"]["if"]
    assert all("environment" in job for job in deliver["jobs"].values())


def test_pipenv_is_the_makefiles() -> None:
    wanted = re.findall(r"^PIPENV := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"pipenv==(\S+)", (ROOT / "Dockerfile").read_text()) == wanted


def test_no_secret_has_a_value_that_works() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert [name for name in SECRETS if example[name]] == []
    used = re.findall(r"\$\{(\w+)([^}]*)\}", COMPOSE.read_text())
    assert {name for name, _ in used} == set(example)
    assert {rest for name, rest in used if name in SECRETS} == {":?set it in .env"}


def test_every_setting_of_the_pipeline_can_be_set_and_the_example_names_it() -> None:
    given = services()["worker"]["environment"]
    named = set(re.findall(r"^(?:# )?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    fixed = {"home", "tracking_uri", "log_url", "predictor_url", "mlflow_ui"}  # where the services are
    wanted = {f"GRADECAST_{name.upper()}" for name in Settings.model_fields.keys() - fixed}
    assert wanted <= given.keys()
    assert wanted <= named


def test_only_what_is_meant_to_be_met_has_a_port() -> None:
    ports = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert ports.pop("predictor") == ["${PREDICTOR_ADDRESS:-127.0.0.1}:9696:9696"]
    assert set(ports) == {"mlflow", "prefect", "prometheus", "grafana"}
    assert all(port.startswith("${CONSOLE_ADDRESS:-127.0.0.1}:") for (port,) in ports.values())
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["inside"] == {"internal": True}


def test_the_prefect_server_is_as_closed_as_the_one_on_a_persons_machine() -> None:
    given = services()["prefect"]["environment"]
    assert given.keys() >= closed(4200, "").keys()
    assert given["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"
    allowed = closed(4200, "")["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert set(given["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")) == set(allowed)
    by_hand = tomllib.loads((ROOT / "prefect.toml").read_text())["server"]["api"]
    assert by_hand["csrf_protection_enabled"]
    assert set(by_hand["cors_allowed_origins"].split(",")) == set(allowed)


def test_every_service_is_limited_watched_and_without_privileges() -> None:
    once = {"deployments", "backup"}  # the latter is a loop around what ends
    checked = {name for name, service in services().items() if "healthcheck" in service}
    assert services().keys() - checked == once | {"predictor"}, "the predictor's image has its own"
    for name, service in services().items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        if name != "backup":
            assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        if name != "postgres":  # which gives itself to another user first
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_prometheus_asks_services_that_there_are() -> None:
    path = ROOT / "monitoring" / "prometheus" / "prometheus.yml"
    jobs = yaml.safe_load(path.read_text())["scrape_configs"]
    hosts = {
        target.split(":")[0] for job in jobs for part in job["static_configs"] for target in part["targets"]
    }
    assert hosts - services().keys() == {"localhost"}


def manifests() -> list[dict[str, Any]]:
    loaded = [each for path in KUBERNETES for each in yaml.safe_load_all(path.read_text())]
    return [each for each in loaded if each["kind"] != "Kustomization"]


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the pod of a workload of any kind."""
    spec = manifest["spec"]
    found: dict[str, Any] = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]
    return found


WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")


def test_every_pod_of_kubernetes_is_limited_and_without_privileges_and_those_that_serve_are_watched() -> None:
    found = [each for each in manifests() if each["kind"] in WORKLOADS]
    assert {each["metadata"]["name"] for each in found} == {
        *("mlflow", "prefect", "worker", "predictor"),
        *("migrations", "deployments", "backup"),
    }
    for each in found:
        pod = pod_of(each)
        assert pod["securityContext"]["runAsNonRoot"], each["metadata"]
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert "memory" in container["resources"]["limits"]
            watched = {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
            assert watched == (each["kind"] in ("Deployment", "StatefulSet"))


def test_what_kubernetes_is_built_of_is_there_and_claims_and_settings_are_named_as_they_are() -> None:
    built = yaml.safe_load((ROOT / "containers" / "kubernetes" / "kustomization.yaml").read_text())
    assert set(built["resources"]) == {path.name for path in KUBERNETES} - {"kustomization.yaml"}
    claims = {each["metadata"]["name"] for each in manifests() if each["kind"] == "PersistentVolumeClaim"}
    text = "".join(path.read_text() for path in (*KUBERNETES, *POOLS))
    assert set(re.findall(r'claimName"?: "?([\w-]+)', text)) == claims
    keys = set(
        re.findall(r"^(\w+)=", (KUBERNETES[0].parent / "secrets.env.example").read_text(), re.MULTILINE)
    )
    assert set(re.findall(r"secretKeyRef: \{name: gradecast-secrets, key: (\w+)", text)) <= keys
    assert SECRETS & keys == {"GRADECAST_API_KEY", "GRADECAST_ID_KEY"}


@pytest.mark.parametrize("path", POOLS, ids=lambda path: path.stem)
def test_a_work_pools_template_asks_for_nothing_that_prefects_own_worker_does_not_know(path: Path) -> None:
    template = json.loads(path.read_text())
    views = Path(prefect.__file__).parent / "server" / "api" / "collections_data" / "views"
    known = json.loads((views / "aggregate-worker-metadata.json").read_text())
    own = known[f"prefect-{path.stem}"][path.stem]["default_base_job_configuration"]
    assert template["job_configuration"].keys() == own["job_configuration"].keys()
    assert template["variables"]["properties"].keys() == own["variables"]["properties"].keys()
    placed = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert placed <= template["variables"]["properties"].keys()
    assert template["variables"]["properties"]["image"]["default"] == "gradecast-pipeline:local"


def test_alerts_go_to_a_service_that_may_reach_the_world_and_so_may_the_worker() -> None:
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert networks["outside"] == {}
    assert all("outside" in services()[name]["networks"] for name in ("alertmanager", "worker"))
