"""``gateway run``: from the command line's options to an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import ExitStack

from gateway.config.report import ConfigErrors
from gateway.telemetry import logs

from .cores import cores
from .gateway import Gateway, Options
from .sockets import ListenError, open_ports

log = logging.getLogger("gateway")


def run(options: Options) -> int:
    """Serve until the end. 0: ended well; 1: could not start, see the log; 3: the drain was cut short."""
    # Their default is to kill; one that comes before the handlers are installed shall not.
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    logs.start(options.log_level, options.log_format)
    try:
        config = options.load(os.environ)
        workers = cores() if config.server.workers == "auto" else config.server.workers
        with ExitStack() as opened:
            admin = open_ports([config.admin.listen], 1)
            for port in admin:
                opened.callback(port.close)
            ports = open_ports(config.server.listen, workers)
            opened.pop_all()  # from here on the gateway closes them
    except ConfigErrors as failure:
        for line in failure.errors:
            log.error("%s", line)
        return 1
    except ListenError as failure:
        log.error("%s", failure)
        return 1
    return asyncio.run(Gateway(options, config, ports, admin, workers).run())
