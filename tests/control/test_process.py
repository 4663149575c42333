import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.config.schema import Config
from gateway.control.channel import Commit, Describe, Description, Drain, Drained, Failed, Prepare, Ready, Serving, Stop
from gateway.control.process import Launcher, WorkerProcess, environment
from gateway.control.sockets import Port, open_ports
from gateway.telemetry.segment import create

TOY = (sys.executable, "-P", "-m", "tests.support.toy_worker")


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    (port,) = open_ports(["127.0.0.1:0"], 1)
    yield port
    port.close()


@pytest.fixture
async def worker(port: Port) -> AsyncIterator[WorkerProcess]:
    worker = await Launcher([create("test")], [port], "warning", TOY)(0)
    yield worker
    worker.kill()
    await worker.ended()


def prepare(graph: str) -> Prepare:
    return Prepare(generation=1, config=msgspec.msgpack.encode(Config(default_graph=graph)))


async def ask(port: Port) -> str:
    reader, writer = await asyncio.open_connection(*port.sockets[0].getsockname())
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_its_whole_life(worker: WorkerProcess, port: Port) -> None:
    assert isinstance(await worker.ask(prepare("hello"), 30), Ready)
    assert isinstance(await worker.ask(Commit(generation=1), 30), Serving)
    assert await ask(port) == f"{worker.pid} hello"
    answer = await worker.ask(Describe(), 30)
    assert isinstance(answer, Description)
    assert answer.clusters == [{"backend": "toy", "graph": "hello"}]
    drained = await worker.ask(Drain(timeout=30), 30)
    assert isinstance(drained, Drained)
    assert drained.clean
    assert await worker.ended() == 0


async def test_what_it_cannot_build_comes_back_as_lines(worker: WorkerProcess) -> None:
    answer = await worker.ask(prepare("broken"), 30)
    assert isinstance(answer, Failed)
    assert answer.errors == ("ValueError: cannot be built",)


async def test_its_death_answers_whatever_was_asked(worker: WorkerProcess) -> None:
    answer = await worker.ask(prepare("deadly"), 30)
    assert isinstance(answer, Failed)
    assert answer.errors == ("worker 0 died",)
    assert await worker.ended() == 7
    assert isinstance(await worker.ask(Describe(), 30), Failed)
    assert repr(worker) == f"<WorkerProcess 0 pid={worker.pid} lost>"


async def test_an_answer_may_come_too_late(worker: WorkerProcess) -> None:
    answer = await worker.ask(Describe(), 0)
    assert isinstance(answer, Failed)
    assert answer.errors == ("worker 0 did not answer within 0 s",)


async def test_stop_ends_it_at_once(worker: WorkerProcess) -> None:
    worker.tell(Stop())
    assert await worker.ended() == 0


async def test_kill_ends_it_whatever_it_does(worker: WorkerProcess) -> None:
    worker.kill()
    assert await worker.ended() == -signal.SIGKILL
    worker.kill()


async def test_a_worker_whose_control_process_is_gone_ends(worker: WorkerProcess) -> None:
    await worker.ask(prepare("hello"), 30)
    await worker._channel.close()
    assert await worker.ended() == 0


async def test_a_command_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await Launcher([create("test")], [], "warning", ["/no/such/python"])(0)


def test_the_environment_is_ours_with_our_import_path_and_advice_for_malloc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "x")
    found = environment()
    assert found["MALLOC_TRIM_THRESHOLD_"] == "1"
    assert found["MALLOC_MMAP_THRESHOLD_"] == str(4 << 20)
    assert found["OTEL_SERVICE_NAME"] == "x"
    assert set(filter(None, sys.path)) == set(found["PYTHONPATH"].split(os.pathsep))
