"""Rules for one of ``backends``."""

from __future__ import annotations

from . import addresses
from .backend import Backend, ConsistentHash, Fault, Hedge, LoadBalancer
from .checks import check_headers, complain, positive
from .report import Path, Report
from .scalars import quantile_or_duration
from .schema import BackendTls


def check_backend(name: str, backend: Backend, report: Report, faults: bool) -> None:
    """Report what cannot work; ``faults``: whether failures on purpose are enabled."""
    path: Path = ("backends", name)
    complain(report, path, addresses.bad_name(name))
    _urls(backend, path, report)
    _model(name, backend, path, report)
    times = backend.timeouts
    positive(report, (*path, "timeouts"), {"connect": times.connect, "request": times.request}, "1ms")
    check_headers(backend.headers, (*path, "headers"), report)
    _balance(backend.load_balancer, (*path, "loadBalancer"), report)
    _health(backend, (*path, "healthCheck"), report)
    _hedge(backend.hedge, (*path, "hedge"), report)
    _batch(backend, (*path, "batch"), report)
    _fault(backend.fault, (*path, "fault"), report, faults)


def _urls(backend: Backend, path: Path, report: Report) -> None:
    if (backend.url is None) == (not backend.endpoints):
        report.conflict(path, "a backend has a 'url', or 'endpoints'; exactly one of them")
    if backend.url is not None:
        complain(report, (*path, "url"), addresses.bad_backend_url(backend.url))
    good = [url for url in backend.endpoints if addresses.bad_backend_url(url) is None]
    for index, url in enumerate(backend.endpoints):
        place = (*path, "endpoints", index)
        complain(report, place, addresses.bad_backend_url(url))
        if url in backend.endpoints[:index]:
            report.conflict(place, f"'{url}' is in the list twice")
        elif url in good and addresses.prefix(url) != addresses.prefix(good[0]):
            report.conflict(place, "the endpoints of a backend have the same path")
    if backend.tls is not None:
        _tls(backend.urls, backend.tls, (*path, "tls"), report)


def _model(name: str, backend: Backend, path: Path, report: Report) -> None:
    if backend.path is not None:
        raw = backend.protocol == "raw" or report.broken((*path, "protocol"))
        complaint = addresses.bad_path(backend.path) if raw else "only a backend with protocol: raw has a path"
        complain(report, (*path, "path"), complaint)
    if backend.model is not None:
        complain(report, (*path, "model"), addresses.bad_model(backend.model))
    elif backend.protocol != "raw" and addresses.bad_model(name):
        report.conflict(path, f"'{name}' cannot be a model's name: give the backend a 'model'")


def _tls(urls: tuple[str, ...], tls: BackendTls, path: Path, report: Report) -> None:
    if not any(url.startswith("https:") for url in urls) and not report.broken((*path[:-1], "url")):
        report.conflict(path, "tls needs an https URL")
    if (tls.cert_file is None) != (tls.key_file is None):
        missing = "certFile" if tls.cert_file is None else "keyFile"
        report.conflict(path, f"certFile and keyFile go together: '{missing}' is missing")


def _balance(balancer: LoadBalancer, path: Path, report: Report) -> None:
    hashing, by = balancer.type == "ConsistentHash", balancer.consistent_hash
    if hashing and by is None:
        report.conflict(path, "ConsistentHash needs 'consistentHash', which says where the key is")
    elif by is not None and not hashing:
        report.conflict((*path, "consistentHash"), "only for type: ConsistentHash")
    elif by is not None:
        _hash(by, (*path, "consistentHash"), report)


def _hash(by: ConsistentHash, path: Path, report: Report) -> None:
    if sum(where is not None for where in (by.header, by.cookie, by.body)) != 1:
        report.conflict(path, "the key is in exactly one of header, cookie and body")
    if by.header is not None:
        complain(report, (*path, "header"), addresses.bad_header_name(by.header))
    if by.cookie is not None:
        complain(report, (*path, "cookie"), addresses.bad_header_name(by.cookie))
    if by.body is not None:
        _expression(by.body, (*path, "body"), report)


def _expression(text: str, path: Path, report: Report) -> None:
    from ..graph.condition import compile_jmespath  # here, for a fast start of files that have none

    try:
        compile_jmespath(text)
    except ValueError as error:
        report.conflict(path, str(error))


def _health(backend: Backend, path: Path, report: Report) -> None:
    check = backend.health_check
    if check is None:
        return
    if check.path is not None:
        complain(report, (*path, "path"), addresses.bad_path(check.path))
    for key, seconds in (("interval", check.interval), ("timeout", check.timeout)):
        if not seconds:
            report.conflict((*path, key), "must be at least 1ms")
    if not check.expected_statuses:
        report.conflict((*path, "expectedStatuses"), "at least one status is needed")


def _hedge(hedge: Hedge | None, path: Path, report: Report) -> None:
    if hedge is not None:
        try:
            quantile_or_duration(hedge.after)
        except ValueError as error:
            report.conflict((*path, "after"), str(error))


def _batch(backend: Backend, path: Path, report: Report) -> None:
    batch = backend.batch
    if batch is None:
        return
    from ..formats import format_of  # here, for a fast start of files that batch nothing

    if (batch.default_priority or 1) > batch.priority_levels:
        report.conflict((*path, "defaultPriority"), f"there are {batch.priority_levels} priorityLevels")
    if not batch.promote_after:
        report.conflict((*path, "promoteAfter"), "must be at least 1ms")
    for index, name in enumerate(batch.vary_headers):
        complain(report, (*path, "varyHeaders", index), addresses.bad_header_name(name))
    if not report.broken((*path[:-1], "protocol")):
        try:
            format_of(backend.protocol, batch.rows_path, batch.predictions_path)
        except ValueError as error:
            report.conflict(path, str(error))


def _fault(fault: Fault | None, path: Path, report: Report, enabled: bool) -> None:
    if fault is None:
        return
    if not enabled:
        report.conflict(path, "failures on purpose are off: start the gateway with --enable-faults")
    if fault.delay is None and fault.abort is None:
        report.conflict(path, "a fault needs a 'delay' or an 'abort'")
    if fault.abort is not None and fault.abort.status < 400:
        report.conflict((*path, "abort", "status"), "an error has a status from 400 to 599")
