"""Events as JSON lines on standard output, for whoever collects the logs of containers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gateway.payload.content import as_json
from gateway.payload.dialect import CloudEvent

from .sink import SENT, Verdict


class StdoutSink:
    """Standard output; nothing else of the gateway's is written there."""

    together = 100
    concurrency = 1

    async def send(self, events: Sequence[CloudEvent]) -> Verdict:
        rest = memoryview(b"".join(as_json(event) + b"\n" for event in events))
        try:
            while rest:
                rest = rest[os.write(1, rest) :]
        except OSError as error:
            return Verdict("retry", error.strerror or "")
        return SENT

    async def close(self) -> None:
        pass
