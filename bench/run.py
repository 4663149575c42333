"""make bench: this gateway and its peers, on the same work and the same core. See bench/README.md."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from cases import CASES
from peers import PEERS
from report import save, table
from runner import Plan, measure

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = _options()
    for needed in ("wrk", "nginx"):
        if shutil.which(needed) is None:
            sys.exit(f"bench: {needed} is not installed: apt install wrk nginx (haproxy, too, to compare with it)")
    # TERM unwinds the stack as Ctrl-C does, so that no child outlives the run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = Plan(1, 1, 0.5) if options.quick else Plan(options.rounds, options.seconds, options.warm_up)
    wanted = [peer for peer in PEERS if not options.peers or peer.name in options.peers]
    present = [peer for peer in wanted if not peer.missing()]
    missing = [peer.name for peer in wanted if peer.missing()]
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            samples = measure(case, present, plan, Path(directory), lambda line: print(line, file=sys.stderr))
        print(table(case, samples, missing))
        save(options.output or _path(case.name), case, plan, samples, {peer.name: peer.version() for peer in present})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each peer is measured (default: 5)")
    parser.add_argument("--seconds", type=float, default=5, help="for how long each time (default: 5)")
    parser.add_argument("--warm-up", type=float, default=2, help="load before that, not counted (default: 2)")
    parser.add_argument("--quick", action="store_true", help="one round of one second: does everything still run?")
    parser.add_argument("--peers", nargs="+", choices=[peer.name for peer in PEERS], help="only these")
    parser.add_argument("--output", type=Path, help="where the JSON goes (default: bench/results/<case>-<time>.json)")
    return parser.parse_args()


def _path(name: str) -> Path:
    return RESULTS / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"


if __name__ == "__main__":
    main()
