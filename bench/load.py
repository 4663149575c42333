"""Closed loops: wrk, whose connections each wait for an answer before they ask again. And single requests."""

from __future__ import annotations

import json
import math
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import openloop
from openloop import Result
from processes import Process, cores, pinned

PATH = "/v1/models/iris:predict"

SCRIPT = """\
wrk.method = "POST"
wrk.path = "{path}"
wrk.body = io.open("{body}", "rb"):read("*a")
wrk.headers["Content-Type"] = "application/json"
{headers}
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('RESULT {{"requests": %d, "seconds": %.6f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""

FRESH = """\
local count = 0
request = function()
  count = count + 1
  wrk.headers["traceparent"] = string.format("00-%032x-%016x-01", count, count)
  return wrk.format()
end
"""
"""A head for each request that was never seen before."""


@dataclass(frozen=True)
class Traffic:
    """What is asked: bodies of ``up`` bytes for answers of ``down`` bytes, over so many keep-alive connections."""

    connections: int = 64
    up: int = 100
    down: int = 100
    headers: tuple[tuple[str, str], ...] = ()
    fresh_heads: bool = False
    """A ``traceparent`` of its own for each request."""
    sent: bytes = b""
    """The body, in place of one of ``up`` bytes."""


@dataclass(frozen=True)
class Load:
    """What wrk saw. ``errors`` counts answers outside 2xx and 3xx, and connections that failed."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float


def body(size: int) -> bytes:
    """A request of exactly ``size`` bytes, at least 80, which the conditions of the Switches hold for."""
    return _padded(b'{"instances": [{"kind": "dog", "values": [6.8, 2.8]}], "pad": "', size)


def answer(port: int, size: int) -> bytes:
    """An answer of exactly ``size`` bytes, at least 50, with ``port`` as its one prediction."""
    return _padded(b'{"predictions": ["%d"], "pad": "' % port, size)


def _padded(start: bytes, size: int) -> bytes:
    return start + b"x" * (size - len(start) - 2) + b'"}'


def drive(url: str, traffic: Traffic, seconds: float, core: int | None, directory: Path) -> Load:
    """Load ``url`` for so many seconds, rounded up to whole ones, wrk's unit."""
    script = _script(traffic, directory)
    command = ["wrk", "-t1", f"-c{traffic.connections}", f"-d{math.ceil(seconds)}s", "--timeout", "10s", "-s", script]
    done = subprocess.run(pinned([*command, url], core), capture_output=True, text=True, timeout=seconds + 20)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stdout} {done.stderr}")
    return Load(**json.loads(line.removeprefix("RESULT ")))


def _script(traffic: Traffic, directory: Path) -> str:
    payload, script = directory / f"body-{traffic.up}", directory / "post.lua"
    payload.write_bytes(traffic.sent or body(traffic.up))
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in traffic.headers)
    script.write_text(SCRIPT.format(path=PATH, body=payload, headers=headers) + (FRESH if traffic.fresh_heads else ""))
    return str(script)


def open_loop(port: int, rate: float, seconds: float, directory: Path, warm_up: float = 0.5) -> Result:
    """``rate`` small requests a second to ``port``, from the core of the load."""
    payload = directory / "body-open"
    payload.write_bytes(body(100))
    command = [sys.executable, str(Path(openloop.__file__)), str(port), PATH, str(payload)]
    command += [f"--rate={rate}", f"--seconds={seconds}", f"--warm-up={warm_up}"]
    limit = warm_up + seconds + openloop.GRACE + 20
    done = subprocess.run(pinned(command, cores()[1]), capture_output=True, text=True, timeout=limit)
    if done.returncode:
        raise RuntimeError(f"the open loop failed: {done.stderr}")
    return Result(**json.loads(done.stdout))


def wait_until_up(url: str, process: Process, seconds: float = 15) -> None:
    """Return once ``url`` answers a small request. Raises RuntimeError, with its own words, if it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not process.ended:
        try:
            ask(url)
            return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"no answer from {url}: {process.log.read_text(errors='replace')[-2000:]}")


def ask(url: str) -> bytes:
    """The answer's body to one small request."""
    request = urllib.request.Request(url + PATH, body(100), {"content-type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=5, context=_unverified() if url.startswith("https") else None) as got:
        read: bytes = got.read()
        return read


def _unverified() -> ssl.SSLContext:
    """The certificate was made a moment ago, by this run."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def shares(url: str, asked: int) -> dict[str, float]:
    """How ``asked`` requests spread over the backends, by port: the proof that a peer does the work."""
    counts = Counter(json.loads(ask(url))["predictions"][0] for _ in range(asked))
    return {backend: count / asked for backend, count in sorted(counts.items())}
