"""Rules across fields: what the shape of the file cannot say."""

from __future__ import annotations

from collections.abc import Iterable

from . import addresses
from .check_backend import check_backend
from .check_graph import check_native, check_structure
from .check_payload import check_payload
from .checks import check_headers, complain, positive
from .report import Path, Report, suggestion
from .schema import AccessLog, Config, Graph, Server


def check(config: Config, report: Report, *, faults: bool = False) -> None:
    """Report everything in ``config`` that cannot work, and failures on purpose unless ``faults`` are enabled."""
    _server(config.server, report)
    complain(report, ("admin", "listen"), addresses.bad_listen(config.admin.listen))
    for name, backend in config.backends.items():
        check_backend(name, backend, report, faults)
    for name, graph in config.graphs.items():
        _graph(name, graph, config, report)
    check_payload(config, report)
    _default(config, report)
    _template(config.service_url_template, report)
    _access_log(config.telemetry.access_log, report)


def _server(server: Server, report: Report) -> None:
    listen: Path = ("server", "listen")
    if not server.listen:
        report.conflict(listen, "at least one address is needed")
    for index, address in enumerate(server.listen):
        complain(report, (*listen, index), addresses.bad_listen(address))
        if address in server.listen[:index]:
            report.conflict((*listen, index), f"'{address}' is in the list twice")
    for index, network in enumerate(server.trusted_proxies):
        complain(report, ("server", "trustedProxies", index), addresses.bad_network(network))
    limits = server.limits
    sizes = {"maxBodyBytes": limits.max_body_bytes, "maxHeaderBytes": limits.max_header_bytes}
    positive(report, ("server", "limits"), sizes | {"maxHeaders": limits.max_headers}, "1")
    positive(report, ("server", "timeouts"), {"request": server.timeouts.request}, "1ms")
    check_headers(server.headers, ("server", "headers"), report)


def _graph(name: str, graph: Graph, config: Config, report: Report) -> None:
    path: Path = ("graphs", name)
    complain(report, path, addresses.bad_graph(name))
    positive(report, path, {"serviceTimeout": graph.service_timeout} if graph.compat == "none" else {}, "1ms")
    positive(report, path, {"timeout": graph.timeout} if graph.compat == "none" else {}, "1ms")
    check_headers(graph.headers, (*path, "headers"), report)
    if graph.compat == "none":
        check_native(graph, path, report)
    check_structure(graph, config.backends, path, report, lenient=config.router)
    if graph.explain is not None:
        _known(graph.explain.backend, config.backends, (*path, "explain", "backend"), report)


def _known(name: str, backends: Iterable[str], path: Path, report: Report) -> None:
    if name not in backends:
        report.conflict(path, f"there is no backend '{name}'{suggestion(name, backends)}")


def _default(config: Config, report: Report) -> None:
    name = config.default_graph
    if name is not None and name not in config.graphs:
        report.conflict(("defaultGraph",), f"there is no graph '{name}'{suggestion(name, config.graphs)}")
    if not config.graphs and not report.broken(("graphs",)):
        report.warn((), "there are no graphs: every request will be answered with 404")


def _access_log(log: AccessLog | None, report: Report) -> None:
    if log is not None and log.path not in ("stdout", "stderr") and not log.path.startswith("/"):
        report.conflict(("telemetry", "accessLog", "path"), f"'{log.path}' is neither stdout, stderr nor /a/file")


def _template(template: str, report: Report) -> None:
    path: Path = ("serviceUrlTemplate",)
    if "{name}" not in template:
        report.conflict(path, "the template must hold {name}")
    else:
        url = template.replace("{name}", "name").replace("{namespace}", "namespace")
        complain(report, path, addresses.bad_url(url))
