"""Single predictions beside a constant route, bare FastAPI and `mlflow models serve`; a worker's cost.

Run `python -m bench.serving`, or with `--quick` for a rough look. Everything is on: validation, log and
its drainer, metrics, request log. The servers wait side by side and are loaded in turns, in both orders,
each when the drainer has nothing left to do for the one before it.
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.load import free_port, process_tree, rates_in_turns, resident_megabytes, say_what_loads
from bench.servers import SERVING, gunicorn, mlflow_server, predictor, python, register_model, running
from data.bundle.manifest import EXAMPLES
from data.log.spool import backlog

SHARE, TIMES_MLFLOW, WORKER_MEGABYTES = 0.65, 10.0, 150.0
SETTLE_SECONDS = 0.2


def main() -> None:
    """Measure and say whether what is wanted is met."""
    parser = argparse.ArgumentParser("python -m bench.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    rounds, seconds = (1, 2.0) if parser.parse_args().quick else (5, 5.0)
    if not SERVING.exists():
        raise SystemExit("The serving-only environment is missing: make setup")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bundle = register_model(home)
        record = json.loads((bundle / EXAMPLES).read_bytes())[0]["record"]
        say_what_loads()
        compare_rates(home, bundle, record, rounds, seconds)
        compare_workers(home, bundle, record, rounds)


def compare_rates(home: Path, bundle: Path, record: dict[str, object], rounds: int, seconds: float) -> None:
    """Load every server in turns and print each one's rate and the predictor's share of it."""
    one, frame = json.dumps(record).encode(), json.dumps({"dataframe_records": [record]}).encode()
    ports = {name: free_port() for name in ("constant", "predictor", "fastapi", "mlflow")}
    uvicorn = ["bench.bare_fastapi:create_app", "--factory", "--workers", "2", "--no-access-log", "--port"]
    commands = {
        "constant": (gunicorn("bench.constant:create_app()"), {"GRADECAST_HOME": str(home / "constant")}),
        "predictor": predictor(home, bundle, ports["predictor"]),
        "fastapi": (python("uvicorn", *uvicorn, str(ports["fastapi"])), {"BENCH_BUNDLE": str(bundle)}),
        "mlflow": mlflow_server(home, ports["mlflow"]),
    }
    asked = dict.fromkeys(ports, "/predict") | {"mlflow": "/invocations"}
    bodies = dict.fromkeys(ports, one) | {"mlflow": frame}
    with ExitStack() as servers:
        for name, (command, own) in commands.items():
            servers.enter_context(running(command, ports[name], asked[name], own, bodies[name]))
        addresses = {name: f"http://127.0.0.1:{port}{asked[name]}" for name, port in ports.items()}
        rates = rates_in_turns(addresses, bodies, rounds, seconds, lambda: _wait_for_drainer(home))
    print(
        f"\nSingle predictions, 2 workers, medians of {rounds} rounds of {seconds:g} s; shares within rounds:"
    )
    shares = {name: _share(rates["predictor"], found) for name, found in rates.items()}
    for name, found in rates.items():
        rate = statistics.median(found)
        print(f"  {name:10s} {rate:8,.0f}/s   the predictor is {shares[name]:6.2f} times that")
    share, times = shares["constant"], shares["mlflow"]
    print(f"of the constant route {share:.2f} (wanted {SHARE} {_met(share >= SHARE)}); ", end="")
    print(f"{times:.0f} times mlflow (wanted {TIMES_MLFLOW:.0f} {_met(times >= TIMES_MLFLOW)})")


def _share(ours: list[float], theirs: list[float]) -> float:
    """Return the median over rounds of our rate by theirs: what slows a whole round slows both."""
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def _wait_for_drainer(home: Path) -> None:
    """Wait until the log has all that was answered: the drainer's work is no other server's burden."""
    while backlog(home).files:
        time.sleep(SETTLE_SECONDS)


def compare_workers(home: Path, bundle: Path, record: dict[str, object], rounds: int) -> None:
    """Start our server and MLflow's with one worker each, and print time to ready and memory."""
    one, frame = json.dumps(record).encode(), json.dumps({"dataframe_records": [record]}).encode()
    ours = [
        _worker(*predictor(home, bundle, port := free_port()), port, "/predict", one) for _ in range(rounds)
    ]
    theirs = [
        _worker(*mlflow_server(home, port := free_port()), port, "/invocations", frame) for _ in range(rounds)
    ]
    ready, memory = (statistics.median(found[i] for found in ours) for i in (0, 1))
    their_ready, their_memory = (statistics.median(found[i] for found in theirs) for i in (0, 1))
    faster, smaller = their_ready / ready, their_memory / memory
    print(f"\nOne server with one worker that has answered, medians of {rounds}:")
    print(f"  ready after {ready:.1f} s; mlflow models serve {their_ready:.1f} s, {faster:.1f} times")
    print(f"  worker {memory:.0f} MB resident; theirs {their_memory:.0f} MB, {smaller:.1f} times; ", end="")
    print(f"wanted {WORKER_MEGABYTES:.0f} MB {_met(memory <= WORKER_MEGABYTES)}")


def _worker(
    command: list[str], own: dict[str, str], port: int, asked: str, body: bytes
) -> tuple[float, float]:
    """Return seconds until the first answer, and the resident megabytes of the process that gives it."""
    begun = time.perf_counter()
    with running(command, port, asked, {**own, "WEB_CONCURRENCY": "1"}, body) as server:
        seconds = time.perf_counter() - begun
        answering = [process for process in process_tree(server.pid) if _listens_for(process)]
        return seconds, max(map(resident_megabytes, answering or [server.pid]))


def _listens_for(process: int) -> bool:
    """Tell whether a process is a worker and not the follower or the drainer beside it."""
    command = Path(f"/proc/{process}/cmdline").read_bytes()
    return b"serving.sync.follow" not in command and b"serving.drain" not in command


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
