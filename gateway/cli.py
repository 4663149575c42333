"""The command line. Each command imports what it needs when it is called, so that `gateway check` starts at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from . import __version__
from .config import addresses

_DESCRIPTION = "The inference gateway: one fast router in front of your model servers, configured by one file."

_EPILOG = """\
examples:
  gateway demo                                  two models, two servers, a tour
  gateway check gateway.yaml                    every error of the file at once
  gateway run -c gateway.yaml                   serve it
  gateway run -c conf.d --listen :9000          every *.yaml of a directory, on another port
  gateway graph gateway.yaml --format mermaid   a picture for the README
  gateway run --graph-json '<spec>'             in place of KServe's InferenceGraph router

signals of gateway run:
  HUP         read the files again; if anything is wrong with them, log it and go on as before
  TERM, INT   not ready for server.drain.delay, then finish what is in flight; a second one: stop now
  USR1        open log files again

exit codes:
  0  all is well      1  start-up or configuration failed
  2  usage            3  the drain was cut short
"""

_RUN_EPILOG = """\
Flags win over the file, also after a reload. Addresses are written host:port, [v6]:port, :port or unix:/path.
"""

_CHECK_EPILOG = """\
Each FILE is checked on its own; a directory stands for all of its *.yaml and *.yml together. Errors go to stderr, one a
line, as file:line:column: path: message.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``arguments`` default to the process's own."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("gateway", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="serve", description="Serve.", epilog=_RUN_EPILOG, formatter_class=raw)
    _run_arguments(run)
    run.set_defaults(command=_run, parser=run)

    check = commands.add_parser("check", help="check files", epilog=_CHECK_EPILOG, formatter_class=raw)
    check.add_argument("file", nargs="+", metavar="FILE", help="a configuration file, or a directory of them")
    _faults_argument(check)
    check.set_defaults(command=_check)

    schema = commands.add_parser("schema", help="print the JSON Schema of the file, for editors")
    schema.add_argument("--markdown", action="store_true", help="print the reference of the file instead")
    schema.set_defaults(command=_schema)

    graph = commands.add_parser("graph", help="draw the graphs of a file")
    graph.add_argument("file", nargs="+", metavar="FILE", help="configuration files or directories, taken together")
    graph.add_argument("--format", choices=("text", "mermaid", "dot", "svg"), default="text", help="default: text")
    graph.set_defaults(command=_graph)

    demo = commands.add_parser("demo", help="train two models, serve them, and take a tour")
    demo.add_argument("--once", action="store_true", help="end after the tour, with its success as the exit code")
    demo.set_defaults(command=_demo)

    health = commands.add_parser("healthcheck", help="exit with 0 when the gateway is ready, else with 1")
    health.add_argument("--admin-listen", metavar="ADDR", type=_address, default="127.0.0.1:9901", help=_ADMIN_HELP)
    health.set_defaults(command=_healthcheck)
    return parser


_ADMIN_HELP = "the admin site's address (default: 127.0.0.1:9901)"


def _run_arguments(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "-c", "--config", metavar="FILE", action="append", default=[], help="a file or directory; may be repeated"
    )
    run.add_argument("--graph-json", metavar="SPEC", help="the spec of a KServe InferenceGraph, as its router takes it")
    run.add_argument(
        "--listen", metavar="ADDR", type=_address, action="append", default=[], help="where clients connect; repeatable"
    )
    run.add_argument("--admin-listen", metavar="ADDR", type=_address, help="where the admin site listens")
    run.add_argument("--workers", metavar="N", type=_positive, help="processes (default: one a core)")
    run.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info", help="default: info")
    run.add_argument("--log-format", choices=("text", "json"), default="text", help="default: text")
    _faults_argument(run)


def _faults_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("--enable-faults", action="store_true", help="accept the `fault` of backends, for game days")


def _address(text: str) -> str:
    if (problem := addresses.bad_listen(text)) is not None:
        raise argparse.ArgumentTypeError(problem)
    return text


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= 1024):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of processes from 1 to 1024")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    if bool(options.config) == (options.graph_json is not None):
        options.parser.error("give either -c FILE or --graph-json SPEC")
    from .config.options import RunOptions
    from .control.run import run

    return run(
        RunOptions(
            config=tuple(options.config),
            graph_json=options.graph_json,
            listen=tuple(options.listen),
            admin_listen=options.admin_listen,
            workers=options.workers,
            log_level=options.log_level,
            log_format=options.log_format,
            enable_faults=options.enable_faults,
        )
    )


def _check(options: argparse.Namespace) -> int:
    return max(_checked(file, options.enable_faults) for file in options.file)


def _checked(file: str, faults: bool) -> int:
    from .config.files import examine

    config, report = examine([file], os.environ, faults=faults)
    for warning in report.warnings:
        print(f"{warning} (warning)", file=sys.stderr)
    for error in report.errors:
        print(error, file=sys.stderr)
    if not report.errors:
        print(f"{file}: ok: {_count(len(config.graphs), 'graph')}, {_count(len(config.backends), 'backend')}")
    return 1 if report.errors else 0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _schema(options: argparse.Namespace) -> int:
    from .config.json_schema import json_schema_text
    from .config.reference import reference

    sys.stdout.write(reference() if options.markdown else json_schema_text())
    return 0


def _graph(options: argparse.Namespace) -> int:
    from . import draw, svg
    from .config.files import examine

    config, report = examine(options.file, os.environ, faults=True)
    for error in report.errors:
        print(error, file=sys.stderr)
    if report.errors:
        return 1
    formats = {"text": draw.text, "mermaid": draw.mermaid, "dot": draw.dot, "svg": svg.svg}
    sys.stdout.write(formats[options.format](config))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from .demo import main as demo

    return demo(once=options.once)


def _healthcheck(options: argparse.Namespace) -> int:
    from .health import ready

    problem = ready(options.admin_listen)
    if problem is not None:
        print(f"not ready: {problem}", file=sys.stderr)
    return 0 if problem is None else 1
