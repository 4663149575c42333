"""The gateway as a child process. It is ended before the context is left, whatever the reason for leaving."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import aiohttp

from .trouble import Trouble

PATIENCE: Final = 20.0
"""Seconds to become ready."""

GRACE: Final = 8.0
"""Seconds to end; more than the drain that demo.yaml allows."""

Child = asyncio.subprocess.Process


@asynccontextmanager
async def gateway(config: Path, environ: Mapping[str, str], admin: str) -> AsyncIterator[Child]:
    """Run ``gateway run -c config``; entered once the admin site at the URL ``admin`` says ready. Raises Trouble."""
    command = ["-m", "gateway", "run", "-c", str(config), "--log-level", "warning"]
    # In a session of its own, so that Ctrl-C reaches us alone and the gateway gets one signal, not two.
    child = await asyncio.create_subprocess_exec(sys.executable, *command, env=environ, start_new_session=True)
    try:
        await _ready(child, admin)
        yield child
    finally:
        await _end(child)


async def _ready(child: Child, admin: str) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    async with aiohttp.ClientSession() as client:
        while not await _says_ready(client, admin):
            if child.returncode is not None:
                raise Trouble(f"the gateway ended with code {child.returncode} before it was ready")
            if loop.time() > end:
                raise Trouble(f"the gateway was not ready after {PATIENCE:.0f} s; {admin}/readyz knows why")
            await asyncio.sleep(0.05)


async def _says_ready(client: aiohttp.ClientSession, admin: str) -> bool:
    with suppress(aiohttp.ClientError, TimeoutError):
        async with client.get(admin + "/readyz", timeout=aiohttp.ClientTimeout(1)) as answer:
            return answer.status == 200
    return False


async def _end(child: Child) -> None:
    try:
        with suppress(ProcessLookupError):
            child.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await child.wait()
    finally:
        # Also where the wait was cut short, and for workers that outlived the process that started them.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
