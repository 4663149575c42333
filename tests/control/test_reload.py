import asyncio

import pytest

from gateway.config.schema import Admin, Config, Drain, HeaderRules, Limits, Server, ServerTimeouts, ServerTls
from gateway.config.telemetry import AccessLog, Telemetry
from gateway.control.reload import Outcome, Reloads, restart_only
from tests.support.clock import virtual


@pytest.mark.parametrize(
    ("new", "keys"),
    [
        (Config(), []),
        (Config(default_graph="other"), []),
        (Config(server=Server(drain=Drain(delay=1.0), limits=Limits(max_headers=1))), []),
        (Config(server=Server(timeouts=ServerTimeouts(idle=1.0), headers=HeaderRules(remove=("x",)))), []),
        (Config(server=Server(listen=("127.0.0.1:1",))), ["server.listen"]),
        (
            Config(server=Server(workers=3, tls=ServerTls(cert_file="c", key_file="k"))),
            ["server.workers", "server.tls"],
        ),
        (Config(server=Server(trusted_proxies=())), ["server.trustedProxies"]),
        (Config(admin=Admin(listen="127.0.0.1:1")), ["admin.listen"]),
        (Config(telemetry=Telemetry(access_log=AccessLog(), step_metrics=True)), []),
        (Config(telemetry=Telemetry(buckets="native")), ["telemetry.buckets"]),
    ],
)
def test_what_needs_a_restart(new: Config, keys: list[str]) -> None:
    assert list(restart_only(Config(), new)) == [f"{key}: changed, which needs a restart" for key in keys]


class Work:
    """A reload that lasts a second and counts."""

    def __init__(self) -> None:
        self.began: list[float] = []

    async def __call__(self) -> Outcome:
        self.began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)
        return Outcome(len(self.began))


@virtual
async def test_whoever_asks_before_it_begins_shares_it() -> None:
    work = Work()
    reloads = Reloads(work)
    assert reloads.request() is reloads.request()
    assert await reloads.request() == Outcome(1)


@virtual
async def test_all_who_ask_during_a_reload_get_exactly_one_more_after_it() -> None:
    work = Work()
    reloads = Reloads(work)
    first = reloads.request()
    await asyncio.sleep(0.5)
    second = [reloads.request() for _ in range(5)]
    assert len(set(second)) == 1
    assert await first == Outcome(1)
    assert await second[0] == Outcome(2)
    assert work.began == [0, 1]


@virtual
async def test_one_after_the_other() -> None:
    work = Work()
    reloads = Reloads(work)
    assert [await reloads.request() for _ in range(3)] == [Outcome(1), Outcome(2), Outcome(3)]
    assert work.began == [0, 1, 2]
