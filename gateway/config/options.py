"""What ``gateway run`` was told on its command line; it outlives every reload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from .files import load
from .kserve import from_graph_json
from .schema import Config


@dataclass(frozen=True)
class RunOptions:
    """The flags of ``gateway run``. Those that the file has keys for win over the file."""

    config: tuple[str, ...] = ()
    graph_json: str | None = None
    listen: tuple[str, ...] = ()
    admin_listen: str | None = None
    workers: int | None = None
    log_level: str = "info"
    log_format: Literal["text", "json"] = "text"
    enable_faults: bool = False

    def load(self, environ: Mapping[str, str]) -> Config:
        """The configuration as it stands now, flags applied. Raises ConfigErrors."""
        if self.graph_json is not None:
            return self._applied(from_graph_json(self.graph_json, environ))
        return self._applied(load(self.config, environ, faults=self.enable_faults))

    def _applied(self, config: Config) -> Config:
        server: dict[str, Any] = {}
        if self.listen:
            server["listen"] = self.listen
        if self.workers is not None:
            server["workers"] = self.workers
        admin = {} if self.admin_listen is None else {"listen": self.admin_listen}
        replace = msgspec.structs.replace
        return replace(config, server=replace(config.server, **server), admin=replace(config.admin, **admin))
