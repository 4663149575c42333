"""make bench: this gateway and its peers, on the same work and the same core. See bench/README.md."""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from cases import CASES
from claims import verdicts
from outcome import Bench, Measured, Outcome, Plan
from peers import PEERS
from plot import picture
from report import as_json, document, save

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = _options()
    if options.list:
        print("\n".join(f"{case.name:<24}{case.title}" for case in CASES))
        return
    for needed in ("wrk", "nginx", "openssl"):
        if shutil.which(needed) is None:
            sys.exit(
                f"bench: {needed} is not installed: apt install wrk nginx openssl (haproxy, too, to compare with it)"
            )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    _run(options)


def _end(number: int, frame: object) -> None:
    """Unwind the stack, once and undisturbed, so that no child outlives the run."""
    for known in (signal.SIGTERM, signal.SIGINT):
        signal.signal(known, signal.SIG_IGN)
    sys.exit(128 + number)


def _run(options: argparse.Namespace) -> None:
    plan = _plan(options)
    outcomes, failed = [], []
    for case in (case for case in CASES if not options.only or case.name in options.only):
        try:
            outcomes.append(_measured(case, plan, frozenset(options.peers or ())))
        except Exception as error:  # the others are worth having all the same
            failed.append(f"{case.name}: {error!r}")
            continue
        print(outcomes[-1].table(), flush=True)
    found = verdicts({outcome.name: outcome.figures for outcome in outcomes})
    print("### claims\n", *(f"- {verdict.line()}" for verdict in found), sep="\n")
    versions = {peer.name: peer.version() for peer in PEERS if not peer.missing()}
    path = options.output or _path(options)
    if path is not None:
        content = document(plan, outcomes, found, versions)
        save(path, as_json(content))
        save(path.with_suffix(".svg"), picture(content))
    if failed:
        sys.exit("\n".join(["bench: failed:", *failed]))


def _measured(case: Measured, plan: Plan, only: frozenset[str]) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        Path(directory).chmod(0o755)  # started by root, nginx reads its files as nobody
        return case.run(Bench(plan, Path(directory), lambda line: print(line, file=sys.stderr, flush=True), only))


def _plan(options: argparse.Namespace) -> Plan:
    if options.quick:
        return Plan(rounds=1, seconds=1, warm_up=0, soak=min(options.soak, 4))
    return Plan(options.rounds, options.seconds, options.warm_up, options.soak)


def _path(options: argparse.Namespace) -> Path | None:
    """A whole run is kept under the version it measured; a part of one only where ``--output`` says so."""
    whole = not (options.quick or options.only or options.peers)
    return RESULTS / f"{importlib.metadata.version('inference-gateway')}.json" if whole else None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--only", nargs="+", metavar="CASE", choices=[case.name for case in CASES], help="only these")
    parser.add_argument("--peers", nargs="+", choices=[peer.name for peer in PEERS], help="only these, in every case")
    parser.add_argument("--quick", action="store_true", help="everything once, a second each: does it still run?")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--seconds", type=float, default=3, help="for how long each time (default: 3)")
    parser.add_argument("--warm-up", type=float, default=1, help="load before that, not counted (default: 1)")
    parser.add_argument("--soak", type=_seconds, default=30.0, help="watch memory for so long: 30s, 10m (default: 30s)")
    parser.add_argument(
        "--output",
        type=Path,
        help="where the JSON and the SVG go (default: of a whole run, to results)",
    )
    return parser.parse_args()


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m|h)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no duration such as 30s or 10m")
    return int(found[1]) * {"s": 1.0, "m": 60.0, "h": 3600.0}[found[2]]


if __name__ == "__main__":
    main()
