import json
from pathlib import Path

import pytest

from gateway.config import ConfigErrors, RunOptions
from gateway.config.backend import Fault, FaultDelay

SPEC = json.dumps({"nodes": {"root": {"routerType": "Sequence", "steps": [{"serviceUrl": "http://a/"}]}}})


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server: {listen: ':1', workers: 2, drain: {delay: 1s}}\nadmin: {listen: ':2'}\n")
    plain = RunOptions(config=(str(file),)).load({})
    assert (plain.server.listen, plain.server.workers, plain.admin.listen) == ((":1",), 2, ":2")
    flags = RunOptions(config=(str(file),), listen=(":3", ":4"), admin_listen=":5", workers=6).load({})
    assert (flags.server.listen, flags.server.workers, flags.admin.listen) == ((":3", ":4"), 6, ":5")
    assert flags.server.drain.delay == 1.0


def test_each_load_reads_the_files_again(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    options = RunOptions(config=(str(file),))
    file.write_text("server: {workers: 2}")
    assert options.load({}).server.workers == 2
    file.write_text("server: {workers: x}")
    with pytest.raises(ConfigErrors):
        options.load({})


def test_faults_only_with_the_flag_also_in_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("backends: {b: {url: 'http://a', fault: {delay: {duration: 1s}}}}")
    with pytest.raises(ConfigErrors, match=r"backends\.b\.fault: .* start the gateway with --enable-faults"):
        RunOptions(config=(str(file),)).load({})
    config = RunOptions(config=(str(file),), enable_faults=True).load({})
    assert config.backends["b"].fault == Fault(delay=FaultDelay(duration=1.0))


def test_the_routers_argument() -> None:
    config = RunOptions(graph_json=SPEC, listen=("127.0.0.1:0",)).load({"PROPAGATE_HEADERS": "X"})
    assert config.router
    assert config.server.listen == ("127.0.0.1:0",)
    assert config.graphs["graph"].headers.propagate == ("X",)
