"""Puts the demo on: model servers, gateway, tour; and takes everything down again, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.config import ConfigErrors, load

from . import v1, v2
from .child import Child, gateway
from .models import train
from .servers import serving
from .tour import Tour
from .trouble import Trouble, check_free


def run(once: bool) -> int:
    """The exit code of the whole demo; an interrupt is a fine end, unless it cuts the tour of ``once`` short."""
    try:
        return asyncio.run(_show(once))
    except (Trouble, ConfigErrors) as trouble:
        print(f"gateway demo: {trouble}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 1 if once else 0


def configuration() -> Path:
    """demo.yaml: next to this file in an installed package, under config/ in a checkout."""
    installed = Path(__file__).with_name("demo.yaml")
    return installed if installed.exists() else Path(__file__).parents[2] / "config" / "demo.yaml"


async def _show(once: bool) -> int:
    _end_on_term()
    models = train()
    async with AsyncExitStack() as stack:
        v1_url = await stack.enter_async_context(serving(v1.app(models), 9001))
        v2_url = await stack.enter_async_context(serving(v2.app(models), 9002))
        environ = os.environ | {"DEMO_V1": v1_url, "DEMO_V2": v2_url}
        config = load([str(configuration())], environ)
        (listen,) = config.server.listen
        check_free(listen, "DEMO_LISTEN")
        check_free(config.admin.listen, "DEMO_ADMIN")
        admin = f"http://{config.admin.listen}"
        child = await stack.enter_async_context(gateway(configuration(), environ, admin))
        wrong = await Tour(config, models, f"http://{listen}", admin, v1_url).give()
        for line in wrong:
            print(f"gateway demo: {line}", file=sys.stderr)
        return int(bool(wrong)) if once else await _serve(child)


async def _serve(child: Child) -> int:
    print("\nServing until Ctrl-C.", flush=True)
    code = await child.wait()
    raise Trouble(f"the gateway ended with code {code}")


def _end_on_term() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
