import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gateway import cli
from gateway.config import RunOptions

EXAMPLES = Path(__file__).parents[1] / "config"
GOOD = str(EXAMPLES / "canary.yaml")
Capture = pytest.CaptureFixture[str]


def usage_error(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def test_check_says_what_is_there(capsys: Capture) -> None:
    assert cli.main(["check", GOOD, str(EXAMPLES / "kserve.yaml")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{GOOD}: ok: 1 graph, 2 backends",
        f"{EXAMPLES / 'kserve.yaml'}: ok: 1 graph, 0 backends",
    ]


def test_check_tells_every_error_of_every_file(tmp_path: Path, capsys: Capture) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("server: {workers: 0, listn: x}\n")
    assert cli.main(["check", str(bad), str(tmp_path / "none.yaml"), GOOD]) == 1
    out, err = capsys.readouterr()
    assert out == f"{GOOD}: ok: 1 graph, 2 backends\n"
    assert err.splitlines() == [
        f"{bad}:1:1: there are no graphs: every request will be answered with 404 (warning)",
        f"{bad}:1:19: server.workers: expected a whole number of at least 1 or auto, got the number 0",
        f"{bad}:1:22: server.listn: unknown key; did you mean 'listen'?",
        f"{tmp_path / 'none.yaml'}:1:1: cannot be read: No such file or directory",
    ]


def test_schema(capsys: Capture) -> None:
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert cli.main(["schema", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Configuration reference\n")


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ([], "iris\n"),
        (["--format", "mermaid"], "flowchart"),
        (["--format", "dot"], "digraph"),
        (["--format", "svg"], "<svg"),
    ],
)
def test_graph(arguments: list[str], start: str, capsys: Capture) -> None:
    assert cli.main(["graph", GOOD, *arguments]) == 0
    assert capsys.readouterr().out.startswith(start)


def test_graph_of_a_bad_file(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "bad.yaml").write_text("graphs: {g: {nodes: {}}}")
    assert cli.main(["graph", str(tmp_path / "bad.yaml")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "a graph needs a node called 'root'" in err


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """The options that ``run`` was called with."""
    calls: list[RunOptions] = []

    def run(options: RunOptions) -> int:
        calls.append(options)
        return 3

    control = ModuleType("gateway.control.run")
    control.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gateway.control.run", control)
    return calls


def test_run(ran: list[RunOptions]) -> None:
    command = "run -c a.yaml -c conf.d --listen :1 --listen unix:/x --admin-listen :2 --workers 3 --log-level debug"
    assert cli.main(command.split()) == 3
    assert ran == [RunOptions(("a.yaml", "conf.d"), None, (":1", "unix:/x"), ":2", 3, "debug")]


def test_the_format_of_the_log(ran: list[RunOptions]) -> None:
    cli.main(["run", "-c", "a.yaml"])
    cli.main(["run", "-c", "a.yaml", "--log-format", "json"])
    assert [options.log_format for options in ran] == ["text", "json"]


def test_failures_on_purpose_are_off_unless_asked_for(ran: list[RunOptions]) -> None:
    cli.main(["run", "-c", "a.yaml"])
    cli.main(["run", "-c", "a.yaml", "--enable-faults"])
    assert [options.enable_faults for options in ran] == [False, True]


def test_check_refuses_a_fault_unless_faults_are_enabled(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(
        "backends:\n  b:\n    url: http://127.0.0.1:1\n    fault: {abort: {status: 503, percentage: 5}}\n"
        "graphs: {g: {nodes: {root: {routerType: Sequence, steps: [{backend: b}]}}}}\n"
    )
    assert cli.main(["check", str(file)]) == 1
    refusal = "backends.b.fault: failures on purpose are off: start the gateway with --enable-faults"
    assert capsys.readouterr().err == f"{file}:4:5: {refusal}\n"
    assert cli.main(["check", "--enable-faults", str(file)]) == 0
    assert cli.main(["graph", str(file)]) == 0


def test_run_in_place_of_kserves_router(ran: list[RunOptions]) -> None:
    assert cli.main(["run", "--graph-json", "{}"]) == 3
    assert ran == [RunOptions(graph_json="{}")]


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "fly",
        "run",
        "run -c a --graph-json {}",
        "run -c a --listen 8080",
        "run -c a --admin-listen x",
        "run -c a --workers 0",
        "run -c a --workers many",
        "run -c a --log-level loud",
        "check",
        "graph x --format png",
        "healthcheck --admin-listen x",
    ],
)
def test_usage_errors_exit_with_2(arguments: str, ran: list[RunOptions]) -> None:
    assert usage_error(*arguments.split()) == 2
    assert not ran


def test_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = ModuleType("gateway.demo")
    demo.main = lambda *, once: 7 if once else 8  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gateway.demo", demo)
    assert (cli.main(["demo", "--once"]), cli.main(["demo"])) == (7, 8)


def test_healthcheck(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    asked: list[str] = []
    monkeypatch.setattr("gateway.health.ready", lambda address: asked.append(address))
    assert cli.main(["healthcheck"]) == 0
    monkeypatch.setattr("gateway.health.ready", lambda address: f"{address}: status 503")
    assert cli.main(["healthcheck", "--admin-listen", ":9"]) == 1
    assert asked == ["127.0.0.1:9901"]
    assert capsys.readouterr().err == "not ready: :9: status 503\n"


def test_help_teaches(capsys: Capture) -> None:
    assert usage_error("--help") == 0
    text = capsys.readouterr().out
    for word in ("examples:", "signals of gateway run:", "exit codes:", "--graph-json", "HUP", "USR1"):
        assert word in text


def test_version(capsys: Capture) -> None:
    assert usage_error("--version") == 0
    assert capsys.readouterr().out.startswith("gateway ")


def test_python_m_gateway_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gateway", "check", GOOD], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(": ok: 1 graph, 2 backends\n")


def test_check_pays_for_nothing_it_does_not_need() -> None:
    code = f"import sys; from gateway.cli import main; main(['check', {GOOD!r}]); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert not {"aiohttp", "uvloop", "prometheus_client", "sklearn", "gateway.control.run"} & set(modules)
