"""Load on one route: wrk if it is installed, else a small client of our own, slower than the servers."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 16


def say_what_loads() -> None:
    """Tell which client makes the load."""
    if shutil.which("wrk"):
        print(f"load: wrk, {CONNECTIONS} connections, on the same machine")
    else:
        print(
            "load: wrk is missing (apt-get install wrk); our own Python client is slower than the servers,\n"
            "so that ratios come out nearer to 1 than they are."
        )


def requests_per_second(address: str, body: bytes, seconds: float) -> float:
    """POST a JSON body again and again, and return how many answers of status 200 came in a second."""
    if shutil.which("wrk"):
        return _wrk(address, body, seconds)
    return _own(address, body, seconds)


def rates_in_turns(
    addresses: dict[str, str],
    body: dict[str, bytes],
    rounds: int,
    seconds: float,
    settle: Callable[[], None],
) -> dict[str, list[float]]:
    """Return each address's rates over interleaved rounds; every other round goes the other way round.

    Before each turn `settle` waits for the end of what the turn before has left to do.
    """
    rates: dict[str, list[float]] = {name: [] for name in addresses}
    for number in range(rounds):
        for name in list(addresses)[:: -1 if number % 2 else 1]:
            settle()
            rates[name].append(requests_per_second(addresses[name], body[name], seconds))
        told = ", ".join(f"{name} {found[-1]:,.0f}/s" for name, found in rates.items())
        print(f"  round {number + 1}: {told}", file=sys.stderr)
    return rates


def _wrk(address: str, body: bytes, seconds: float) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n')
        script.write(f"wrk.body = [==[{body.decode()}]==]\n")
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", script.name, address]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    if failed:
        raise RuntimeError(f"{address}: {failed[1]} requests were not answered with 200")
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])


def _own(address: str, body: bytes, seconds: float) -> float:
    counts: list[int] = []
    threads = [
        threading.Thread(target=_ask_until, args=(address, body, time.monotonic() + seconds, counts))
        for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def _ask_until(address: str, body: bytes, end: float, counts: list[int]) -> None:
    where, count = urlsplit(address), 0
    with closing(HTTPConnection(where.netloc)) as connection:
        while time.monotonic() < end:
            connection.request("POST", where.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status != HTTPStatus.OK:
                raise RuntimeError(f"{address}: {response.status} instead of 200")
            count += 1
    counts.append(count)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process_tree(root: int) -> list[int]:
    """Return the ids of a process's children, and of theirs."""
    children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *process_tree(child))]


def resident_megabytes(process: int) -> float:
    """Return what a process holds in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
