import threading
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestClient

from gateway.config.schema import Admin, Backend, Config, HeaderRules
from gateway.control.admin import Clusters, site
from gateway.control.reload import Outcome


class Fake:
    """A control process that is well, unless told otherwise."""

    def __init__(self) -> None:
        rules = HeaderRules(set={"x-key": "s3cret"})
        self.config = Config(
            admin=Admin(listen="gateway.local:9901"), backends={"b": Backend(url="http://b:1", headers=rules)}
        )
        self.state = {"configuration": True, "workers": True, "shutdown": True}
        self.outcome = Outcome(200)
        self.found: Clusters = {}
        self.drains = 0
        self.levels: list[str] = []
        self.threads: list[threading.Thread] = []
        self.reloads = 0

    def checks(self) -> dict[str, bool]:
        return self.state

    def page(self, accept: str) -> tuple[bytes, str]:
        self.threads.append(threading.current_thread())
        return accept.encode(), "text/plain; version=0.0.4; charset=utf-8"

    async def clusters(self) -> Clusters:
        return self.found

    async def reload(self) -> Outcome:
        self.reloads += 1
        return self.outcome

    def drain(self) -> None:
        self.drains += 1

    def log_from(self, level: str) -> None:
        self.levels.append(level)


@pytest.fixture
def control() -> Fake:
    return Fake()


@pytest.fixture
async def admin(control: Fake, aiohttp_client: Any) -> TestClient[Any, Any]:
    return await aiohttp_client(site(control))


async def test_livez(admin: TestClient[Any, Any]) -> None:
    async with admin.get("/livez") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_readyz(admin: TestClient[Any, Any], control: Fake) -> None:
    async with admin.get("/readyz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")
    control.state["shutdown"] = False
    async with admin.get("/readyz") as answer:
        assert (answer.status, await answer.text()) == (503, "not ready\n")
    async with admin.get("/readyz?verbose") as answer:
        assert answer.status == 503
        assert (await answer.text()).splitlines() == [
            "[+]configuration ok",
            "[+]workers ok",
            "[-]shutdown failed",
            "readyz check failed",
        ]


async def test_metrics_are_passed_on_as_they_are(admin: TestClient[Any, Any]) -> None:
    async with admin.get("/metrics", headers={"Accept": "text/plain"}) as answer:
        assert await answer.read() == b"text/plain"
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_are_printed_in_a_thread_so_that_the_site_goes_on(
    admin: TestClient[Any, Any], control: Fake
) -> None:
    async with admin.get("/metrics") as answer:
        assert answer.status == 200
    assert control.threads != [threading.current_thread()]


async def test_config_is_json_or_yaml_and_keeps_secrets(admin: TestClient[Any, Any]) -> None:
    expected = {
        "admin": {"listen": "gateway.local:9901"},
        "backends": {"b": {"url": "http://b:1", "headers": {"set": {"x-key": "[redacted]"}}}},
    }
    async with admin.get("/config") as answer:
        assert await answer.json() == expected
    async with admin.get("/config?format=yaml") as answer:
        assert answer.content_type == "application/yaml"
        assert yaml.safe_load(await answer.text()) == expected
    async with admin.get("/config", headers={"Accept": "application/yaml"}) as answer:
        assert answer.content_type == "application/yaml"


async def test_clusters_as_a_table(admin: TestClient[Any, Any], control: Fake) -> None:
    control.found = {0: [{"backend": "iris", "open": 3}, {"backend": "b", "open": 12}], 1: None}
    async with admin.get("/clusters") as answer:
        assert (await answer.text()).splitlines() == [
            "worker  backend  open",
            "0       iris     3",
            "0       b        12",
            "1       ?        ?",
        ]


async def test_clusters_as_json(admin: TestClient[Any, Any], control: Fake) -> None:
    control.found = {0: [{"backend": "iris"}], 1: None}
    async with admin.get("/clusters?format=json") as answer:
        assert await answer.json() == [
            {"worker": 0, "clusters": [{"backend": "iris"}]},
            {"worker": 1, "clusters": None},
        ]


async def test_clusters_of_nobody(admin: TestClient[Any, Any]) -> None:
    async with admin.get("/clusters") as answer:
        assert answer.status == 200


async def test_reload(admin: TestClient[Any, Any], control: Fake) -> None:
    async with admin.post("/-/reload") as answer:
        assert (answer.status, await answer.text()) == (200, "reloaded\n")
    control.outcome = Outcome(400, ("f.yaml:1:2: a: wrong", "f.yaml:3:4: b: wrong"))
    async with admin.post("/-/reload") as answer:
        assert (answer.status, await answer.text()) == (400, "f.yaml:1:2: a: wrong\nf.yaml:3:4: b: wrong\n")


async def test_drain(admin: TestClient[Any, Any], control: Fake) -> None:
    async with admin.post("/-/drain") as answer:
        assert answer.status == 202
    assert control.drains == 1


async def test_the_level_of_the_log(admin: TestClient[Any, Any], control: Fake) -> None:
    async with admin.post("/logging?level=debug") as answer:
        assert (answer.status, await answer.text()) == (200, "logging from debug\n")
    for wrong in ("", "?level=loud", "?level=DEBUG"):
        async with admin.post(f"/logging{wrong}") as answer:
            assert (answer.status, await answer.text()) == (400, "level: one of debug, info, warning, error\n")
    assert control.levels == ["debug"]


@pytest.mark.parametrize("path", ["/-/reload", "/-/drain", "/logging"])
async def test_a_get_never_changes_anything(admin: TestClient[Any, Any], control: Fake, path: str) -> None:
    async with admin.get(path) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert (control.reloads, control.drains) == (0, 0)


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/config", "/clusters"])
async def test_head(admin: TestClient[Any, Any], path: str) -> None:
    async with admin.head(path) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_the_index_links_to_every_page_and_cannot_be_framed(admin: TestClient[Any, Any]) -> None:
    async with admin.get("/") as answer:
        assert answer.headers["X-Frame-Options"] == "DENY"
        page = await answer.text()
    for path in ("/livez", "/readyz", "/metrics", "/config", "/clusters", "/-/reload", "/-/drain"):
        assert f'"{path}' in page


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9901", "10.1.2.3", "[::1]:9901", "[fe80::1]", "localhost", "LOCALHOST:1", "gateway.local:9901"]
)
async def test_addresses_and_our_own_names_are_served(admin: TestClient[Any, Any], host: str) -> None:
    async with admin.get("/livez", headers={"Host": host}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:9901", "127.0.0.1.evil.example", "[::1"])
async def test_other_names_are_refused(admin: TestClient[Any, Any], host: str) -> None:
    async with admin.get("/config", headers={"Host": host}) as answer:
        assert answer.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "localhost:9901", "Origin": "http://localhost:8000"},
    ],
)
async def test_posts_from_other_sites_are_refused(
    admin: TestClient[Any, Any], control: Fake, headers: dict[str, str]
) -> None:
    async with admin.post("/-/drain", headers=headers) as answer:
        assert answer.status == 403
    assert control.drains == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Host": "localhost:9901", "Origin": "http://localhost:9901"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_posts_from_the_site_itself_are_served(admin: TestClient[Any, Any], headers: dict[str, str]) -> None:
    async with admin.post("/-/reload", headers=headers) as answer:
        assert answer.status == 200
