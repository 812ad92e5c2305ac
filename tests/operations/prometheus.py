"""A Prometheus of the test's own on real targets: asks every second, and its alerts wait for nothing."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.load import free_port
from tests.operations.dashboards import RULES
from tests.operations.debian import program
from tests.serving.running import wait_until


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    port: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate a query now; fails the test where Prometheus refuses it."""
        asked = urllib.parse.urlencode({"query": expression})
        address = f"http://127.0.0.1:{self.port}/api/v1/query?{asked}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            found = json.loads(answer.read())
        assert found["status"] == "success", found
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {found["metric"]["alertname"] for found in self.query('ALERTS{alertstate="firing"}')}


@contextmanager
def prometheus(folder: Path, targets: dict[str, list[str]]) -> Iterator[Prometheus]:
    """Run one for a block, with our rules, on addresses by job."""
    server, port = program("prometheus", "prometheus"), free_port()
    rules = re.sub(r"for: \w+", "for: 0s", RULES.read_text(encoding="utf-8"))
    (folder / "rules.yml").write_text(rules)
    jobs = [{"job_name": job, "static_configs": [{"targets": found}]} for job, found in targets.items()]
    often = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    config = {"global": often, "rule_files": ["rules.yml"], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [server, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "said.txt").open("wb") as said:
        address = f"--web.listen-address=127.0.0.1:{port}"
        process = subprocess.Popen([*command, address], stdout=said, stderr=said)
    try:
        own = Prometheus(port)
        wait_until(lambda: process.poll() is not None or is_ready(port), "Prometheus is ready")
        assert process.poll() is None, (folder / "said.txt").read_text()
        yield own
    finally:
        process.terminate()
        process.wait(30)


def is_ready(port: int) -> bool:
    """Whether it answers queries."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def node_exporter() -> Iterator[str]:
    """Run Debian's exporter of the host for a block, and yield its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus-node-exporter", "prometheus-node-exporter"),
        f"--web.listen-address={address}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)
