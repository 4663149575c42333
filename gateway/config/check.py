"""Rules across fields: what the shape of the file cannot say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import addresses
from .backend import Fault
from .check_graph import check_native, check_structure
from .report import Path, Report, suggestion
from .schema import Backend, BackendTls, Config, Graph, HeaderRules, Server


def check(config: Config, report: Report, *, faults: bool = False) -> None:
    """Report everything in ``config`` that cannot work, and failures on purpose unless ``faults`` are enabled."""
    _server(config.server, report)
    _complain(report, ("admin", "listen"), addresses.bad_listen(config.admin.listen))
    for name, backend in config.backends.items():
        _backend(name, backend, report)
        _fault(backend.fault, ("backends", name, "fault"), report, faults)
    for name, graph in config.graphs.items():
        _graph(name, graph, config, report)
    _default(config, report)
    _template(config.service_url_template, report)


def _complain(report: Report, path: Path, message: str | None) -> None:
    if message is not None:
        report.conflict(path, message)


def _server(server: Server, report: Report) -> None:
    listen: Path = ("server", "listen")
    if not server.listen:
        report.conflict(listen, "at least one address is needed")
    for index, address in enumerate(server.listen):
        _complain(report, (*listen, index), addresses.bad_listen(address))
        if address in server.listen[:index]:
            report.conflict((*listen, index), f"'{address}' is in the list twice")
    for index, network in enumerate(server.trusted_proxies):
        _complain(report, ("server", "trustedProxies", index), addresses.bad_network(network))
    limits = server.limits
    sizes = {"maxBodyBytes": limits.max_body_bytes, "maxHeaderBytes": limits.max_header_bytes}
    _positive(report, ("server", "limits"), sizes | {"maxHeaders": limits.max_headers}, "1")
    _positive(report, ("server", "timeouts"), {"request": server.timeouts.request}, "1ms")
    _headers(server.headers, ("server", "headers"), report)


def _positive(report: Report, path: Path, values: Mapping[str, float | None], least: str) -> None:
    for name, value in values.items():
        if value == 0:
            report.conflict((*path, name), f"must be at least {least}: with 0 no request could succeed")


def _headers(rules: HeaderRules, path: Path, report: Report) -> None:
    for index, pattern in enumerate(rules.propagate or ()):
        _complain(report, (*path, "propagate", index), addresses.bad_pattern(pattern))
    for index, name in enumerate(rules.remove):
        _complain(report, (*path, "remove", index), addresses.bad_header_name(name))
    seen: set[str] = set()
    for name, value in rules.set.items():
        place = (*path, "set", name)
        _complain(report, place, addresses.bad_header_name(name) or addresses.bad_header_value(value))
        if name.lower() in seen:
            report.conflict(place, "header names differ in more than case; this one is set twice")
        seen.add(name.lower())


def _backend(name: str, backend: Backend, report: Report) -> None:
    path: Path = ("backends", name)
    _complain(report, path, addresses.bad_name(name))
    _complain(report, (*path, "url"), addresses.bad_backend_url(backend.url))
    if backend.path is not None:
        raw = backend.protocol == "raw" or report.broken((*path, "protocol"))
        complaint = addresses.bad_path(backend.path) if raw else "only a backend with protocol: raw has a path"
        _complain(report, (*path, "path"), complaint)
    if backend.model is not None:
        _complain(report, (*path, "model"), addresses.bad_model(backend.model))
    elif backend.protocol != "raw" and addresses.bad_model(name):
        report.conflict(path, f"'{name}' cannot be a model's name: give the backend a 'model'")
    times = backend.timeouts
    _positive(report, (*path, "timeouts"), {"connect": times.connect, "request": times.request}, "1ms")
    _headers(backend.headers, (*path, "headers"), report)
    if backend.tls is not None:
        _tls(backend.url, backend.tls, (*path, "tls"), report)


def _tls(url: str, tls: BackendTls, path: Path, report: Report) -> None:
    if not url.startswith("https:") and not report.broken((*path[:-1], "url")):
        report.conflict(path, "tls needs an https URL")
    if (tls.cert_file is None) != (tls.key_file is None):
        missing = "certFile" if tls.cert_file is None else "keyFile"
        report.conflict(path, f"certFile and keyFile go together: '{missing}' is missing")


def _fault(fault: Fault | None, path: Path, report: Report, enabled: bool) -> None:
    if fault is None:
        return
    if not enabled:
        report.conflict(path, "failures on purpose are off: start the gateway with --enable-faults")
    if fault.delay is None and fault.abort is None:
        report.conflict(path, "a fault needs a 'delay' or an 'abort'")
    if fault.abort is not None and fault.abort.status < 400:
        report.conflict((*path, "abort", "status"), "an error has a status from 400 to 599")


def _graph(name: str, graph: Graph, config: Config, report: Report) -> None:
    path: Path = ("graphs", name)
    _complain(report, path, addresses.bad_graph(name))
    _positive(report, path, {"serviceTimeout": graph.service_timeout} if graph.compat == "none" else {}, "1ms")
    _positive(report, path, {"timeout": graph.timeout} if graph.compat == "none" else {}, "1ms")
    _headers(graph.headers, (*path, "headers"), report)
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


def _template(template: str, report: Report) -> None:
    path: Path = ("serviceUrlTemplate",)
    if "{name}" not in template:
        report.conflict(path, "the template must hold {name}")
    else:
        url = template.replace("{name}", "name").replace("{namespace}", "namespace")
        _complain(report, path, addresses.bad_url(url))
