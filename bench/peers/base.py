"""What a peer is: a program that forwards requests to weighted backends, started and stopped on one core."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from graphs import Graph, splitter
from processes import Process, output


@dataclass(frozen=True)
class Setup:
    """How the gateway is configured; the peers have only one way to do the work, and ignore it."""

    graph: Graph = splitter
    language: str = "jmespath"
    tls: bool = False
    server: Mapping[str, object] = field(default_factory=dict)
    """Keys of ``server`` besides the listener."""
    workers: int = 1
    backend: Mapping[str, object] = field(default_factory=dict)
    """Keys of each backend besides where it is."""
    file: Mapping[str, object] = field(default_factory=dict)
    """Keys at the top of the file."""
    log: str = ""
    """The sink, of those in ``file``, that payloads are logged to."""
    environment: tuple[str, ...] = ()
    """``NAME=value`` each."""


@dataclass(frozen=True)
class Work:
    """What every peer is asked to do, so that they do the same."""

    port: int
    """Where to listen, on 127.0.0.1."""
    backends: tuple[tuple[int, int], ...]
    """Port and weight of each."""
    directory: Path
    """For the peer's own files; gone after the run."""
    setup: Setup = Setup()


class Peer:
    """One contestant. A subclass gives its name, its program and the command that does the work."""

    name: ClassVar[str]
    program: ClassVar[str]
    path: ClassVar[str] = ""
    """In the command line of the processes that requests go through; others of its processes only help."""

    def __init__(self, work: Work, core: int | None) -> None:
        self.work = work
        self.core = core
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.work.port}"

    @classmethod
    def missing(cls) -> bool:
        """True where its program is not installed."""
        return shutil.which(cls.program) is None

    @classmethod
    def version(cls) -> str:
        return output([cls.program, "-v"]).splitlines()[0]

    def command(self) -> list[str]:
        """Write what files it needs and say what to run."""
        raise NotImplementedError

    def start(self, command: list[str] | None = None) -> Process:
        """Run ``command``, its own one if none is given."""
        self.process = Process(command or self.command(), self.core, self.work.directory / f"{self.name}.log")
        return self.process

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()
            self.process = None

    def file(self, name: str, text: str) -> str:
        """Put a file into its directory; gives the path."""
        path = self.work.directory / name
        path.write_text(text)
        return str(path)
