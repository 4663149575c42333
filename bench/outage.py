"""What becomes of the payload log, and of the requests, while its sink is down for a minute: an open loop against a
gateway that logs every body, and a sink that is killed and comes back.

Usage: outage.py [--minutes 2] [--down 60] [--rate 500] [--mode batched] [--kill worker | gateway]
Prints two tables and, as the last line, the same as JSON. It ends with 1 if an event is missing or was dropped. With
`--kill`, half-way through the outage, those of the last second before it may be missing (the spool's `fsync`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

import yaml
from load import PATH, body
from logged import FSYNC, Gateway, Sink, Watch, configuration
from openloop import HEAD
from outcome import Outcome
from processes import free_ports
from soak import Call, Seen, Soak, during, seen
from trouble import Phase, endpoints

PATIENCE = 120.0
"""Seconds that the sink has to get what waited."""
SILENCE = 12.0
"""Seconds without an event after which no more are expected: longer than any back-off."""


class Load(Soak):
    """An open loop whose requests have their numbers for ids, and which waits for a gateway that is gone."""

    def message(self, number: int) -> bytes:
        return self.request.replace(b"\r\n\r\n", b"\r\nx-request-id: %d\r\n\r\n" % number, 1)

    def _connect(self) -> None:
        end = time.monotonic() + 15
        while True:
            try:
                return super()._connect()
            except ConnectionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)


@dataclass(frozen=True)
class Account:
    """What became of the events. Those of a request that was never answered are nobody's to miss."""

    made: int
    """Two for each request that was answered."""
    delivered: int
    duplicates: int
    """Deliveries too many, by id."""
    missing: int
    excused: int
    """Of the missing, those of requests answered within FSYNC seconds before a death."""
    dropped: int
    """That the gateway counts."""
    peak_mib: float
    """Of the spool."""
    behind_s: float
    """From the sink's return to when it had what waited; back-off is in it, 10 s at most."""

    @property
    def good(self) -> bool:
        return self.missing == self.excused and not self.dropped


@dataclass
class Story:
    """What the plan came to."""

    death: float | None = None
    """When somebody was killed, in seconds since the beginning."""
    behind: float = inf


def account(
    calls: Sequence[Call], rate: float, taken: Sequence[Sequence[str]], story: Story, dropped: float, peak: float
) -> Account:
    """``taken``: type, id and correlationid of each event; the last is the number of a call. ``peak`` in bytes."""
    arrived = {(number, kind.split(".")[-2]) for kind, _, number in taken}
    made = {(str(round(call.due * rate)), kind): call for call in calls if call.ok for kind in ("request", "response")}
    missing = [call for key, call in made.items() if key not in arrived]
    excused = [call for call in missing if _excused(call, story.death)]
    return Account(
        made=len(made),
        delivered=len(made) - len(missing),
        duplicates=len(taken) - len(Counter(id for _, id, _ in taken)),
        missing=len(missing),
        excused=len(excused),
        dropped=int(dropped),
        peak_mib=peak / (1 << 20),
        behind_s=story.behind,
    )


def _excused(call: Call, death: float | None) -> bool:
    return death is not None and 0 <= death - (call.due + call.seconds) <= FSYNC


def phases(seconds: float, down: float) -> list[Phase]:
    """The outage in the middle."""
    begin = (seconds - down) / 2
    return [Phase("before", 0, begin), Phase("during", begin, begin + down), Phase("after", begin + down, seconds)]


def shown(plan: Sequence[Phase], behind: float) -> list[Phase]:
    """The same for the report: apart, the time in which the sink got what had waited."""
    before, down, after = plan
    even = min(after.begin + behind, after.end)
    return [before, down, Phase("catching up", after.begin, even), Phase("after", even, after.end)]


@contextmanager
def outage(plan: Sequence[Phase], sink: Sink, gateway: Gateway, victim: str | None, few: float) -> Iterator[Story]:
    """From now on the sink goes and comes as planned; the block is left when not more than ``few`` bytes wait."""
    began, story = time.perf_counter(), Story()

    def until(moment: float) -> None:
        time.sleep(max(0.0, began + moment - time.perf_counter()))

    def go_by_the_plan() -> None:
        _, down, _ = plan
        until(down.begin)
        sink.stop()
        if victim is not None:
            until((down.begin + down.end) / 2)
            story.death = gateway.kill(victim) - began
        until(down.end)
        sink.start()
        back = time.perf_counter()
        while (waited := time.perf_counter() - back) < PATIENCE:
            if gateway.waiting() <= few:
                story.behind = waited
                return
            time.sleep(0.1)

    thread = threading.Thread(target=go_by_the_plan)
    thread.start()
    try:
        yield story
    finally:
        thread.join()


def run(
    plan: Sequence[Phase], rate: float, size: int, mode: str, victim: str | None, directory: Path
) -> tuple[list[Call], Account]:
    """Every call of ``rate`` a second with bodies of ``size`` bytes, and what became of their events."""
    payload = body(size)
    request = HEAD.format(path=PATH, length=len(payload)).encode() + payload
    port, admin, model, listening = free_ports(4)
    file = directory / "gateway.yaml"
    file.write_text(yaml.safe_dump(configuration(port, admin, model, listening, mode, directory)))
    with endpoints([model], directory):
        sink, gateway, watch = Sink(listening, directory), Gateway(file, port, admin), Watch(directory / "spool")
        load = Load(port, request, rate, 256)
        try:
            with outage(plan, sink, gateway, victim, few=rate * size) as story:
                load.run(plan[-1].end)
            _settle(sink, 2 * sum(call.ok for call in load.calls))
            return load.calls, account(load.calls, rate, sink.taken(), story, gateway.dropped(), watch.peak)
        finally:
            for one in (load.close, watch.close, gateway.stop, sink.stop):
                one()


def _settle(sink: Sink, wanted: int) -> None:
    """Return once the sink has that many events, or when no more come."""
    have, changed = -1, time.monotonic()
    while have < wanted and time.monotonic() - changed < SILENCE:
        time.sleep(0.1)
        if (now := len(sink.taken())) != have:
            have, changed = now, time.monotonic()


def table(calls: Sequence[Call], plan: Sequence[Phase], found: Account) -> str:
    """Requests by phase, and the account of events."""
    heads = ["phase", "requests", "success %", "p50 ms", "p99 ms", "max ms"]
    rows = [_row(phase.what, seen(during(calls, [phase]))) for phase in plan]
    events = [[name, f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"] for name, value in _items(found)]
    requests = Outcome("outage", "requests while the sink is down", [heads, *rows], {}).table()
    return requests + "\n" + Outcome("events", "what became of them", [["events", "number"], *events], {}).table()


def _items(found: Account) -> list[tuple[str, float]]:
    return list(asdict(found).items())


def _row(name: str, one: Seen) -> list[str]:
    times = (f"{value:.2f}" for value in (one.p50_ms, one.p99_ms, one.max_ms))
    return [name, f"{one.requests:,}", f"{one.success_percent:.3f}", *times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--down", type=float, default=60, help="seconds")
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--size", type=int, default=1024, help="bytes of a request's body")
    parser.add_argument("--mode", choices=("binary", "structured", "batched"), default="batched")
    parser.add_argument("--kill", choices=("worker", "gateway"), help="whom, half-way through the outage")
    options = parser.parse_args()
    plan = phases(60 * options.minutes, options.down)
    with tempfile.TemporaryDirectory(prefix="outage-") as directory:
        calls, found = run(plan, options.rate, options.size, options.mode, options.kill, Path(directory))
    story = shown(plan, found.behind_s)
    print(table(calls, story, found))
    each = [asdict(phase) | asdict(seen(during(calls, [phase]))) for phase in story]
    print(json.dumps({"events": asdict(found), "phases": each}))
    sys.exit(not found.good)


if __name__ == "__main__":
    main()
