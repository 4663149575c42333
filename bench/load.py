"""The load: wrk on 64 keep-alive connections, each waiting for its answer. And single requests, to see a peer work."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cases import Case
from processes import pinned

CONNECTIONS = 64

SCRIPT = """\
wrk.method = "POST"
wrk.path = "{path}"
wrk.body = '{body}'
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('RESULT {{"requests": %d, "seconds": %.6f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw. ``errors`` counts answers outside 2xx and 3xx, and connections that failed."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float


def drive(url: str, case: Case, seconds: float, core: int | None, directory: Path) -> Load:
    """Load ``url`` for so many seconds, rounded up to whole ones, wrk's unit."""
    script = directory / "post.lua"
    script.write_text(SCRIPT.format(path=case.path, body=case.body))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds + 0.499)}s", "-s", str(script), url]
    done = subprocess.run(pinned(command, core), capture_output=True, text=True, timeout=seconds + 20, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return Load(**json.loads(line.removeprefix("RESULT ")))


def wait_until_up(url: str, case: Case, seconds: float = 15) -> None:
    """Return once ``url`` answers the case's request. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            ask(url, case)
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise TimeoutError(f"no answer from {url}")


def ask(url: str, case: Case) -> str:
    """The one prediction in the answer to the case's request: the port of the backend that it reached."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url + case.path, case.body.encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        prediction: str = json.load(answer)["predictions"][0]
        return prediction


def shares(url: str, case: Case, asked: int) -> dict[str, float]:
    """How ``asked`` requests spread over the backends: the proof that a peer does the work."""
    counts = Counter(ask(url, case) for _ in range(asked))
    return {backend: count / asked for backend, count in sorted(counts.items())}
