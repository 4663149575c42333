"""What is wrong with a backend, said where it is wrong. Its URL, model, timeouts and faults are in test_check.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import Config, examine

Errors = Callable[..., list[str]]
Read = Callable[..., Config]


def config(text: str) -> str:
    return f"backends: {{a: {{{text}}}}}"


def found(errors: list[str]) -> list[str]:
    """Without line and column."""
    return [error.partition(" ")[2] for error in errors]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("model: m", "backends.a: a backend has a 'url', or 'endpoints'; exactly one of them"),
        ("endpoints: []", "backends.a: a backend has a 'url', or 'endpoints'; exactly one of them"),
        (
            "url: 'http://a', endpoints: ['http://b']",
            "backends.a: a backend has a 'url', or 'endpoints'; exactly one of them",
        ),
        ("endpoints: ['http://a', 'b:80']", "backends.a.endpoints[1]: 'b:80' is no http or https URL"),
        ("endpoints: ['b:80', 'http://a/x', 'http://b/x']", "backends.a.endpoints[0]: 'b:80' is no http or https URL"),
        ("endpoints: ['http://a?x']", "backends.a.endpoints[0]: the URL of a backend has no query"),
        ("endpoints: ['http://a', 'http://a']", "backends.a.endpoints[1]: 'http://a' is in the list twice"),
        (
            "endpoints: ['http://a/x', 'http://b/y']",
            "backends.a.endpoints[1]: the endpoints of a backend have the same path",
        ),
        ("endpoints: ['http://a', 'http://b'], tls: {}", "backends.a.tls: tls needs an https URL"),
        ("url: 'http://a', timeouts: {request: 0s}", "backends.a.timeouts.request: must be at least 1ms"),
        ("url: 'http://a', headers: {remove: ['a b']}", "backends.a.headers.remove[0]: 'a b' is no header name"),
    ],
)
def test_where_it_is_and_how_it_is_called(errors: Errors, text: str, error: str) -> None:
    (only,) = found(errors(config(text)))
    assert only.startswith(error)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{type: Best}", "loadBalancer.type: "),
        ("{panicThreshold: 101}", "loadBalancer.panicThreshold: expected a whole number from 0 to 100"),
        ("{type: ConsistentHash}", "loadBalancer: ConsistentHash needs 'consistentHash', which says where the key is"),
        ("{consistentHash: {header: x}}", "loadBalancer.consistentHash: only for type: ConsistentHash"),
        (
            "{type: ConsistentHash, consistentHash: {}}",
            "loadBalancer.consistentHash: the key is in exactly one of header, cookie and body",
        ),
        (
            "{type: ConsistentHash, consistentHash: {header: x, cookie: y}}",
            "loadBalancer.consistentHash: the key is in exactly one of header, cookie and body",
        ),
        (
            "{type: ConsistentHash, consistentHash: {header: 'a b'}}",
            "loadBalancer.consistentHash.header: 'a b' is no header name",
        ),
        (
            "{type: ConsistentHash, consistentHash: {cookie: 'a;b'}}",
            "loadBalancer.consistentHash.cookie: 'a;b' is no header name",
        ),
        ("{type: ConsistentHash, consistentHash: {body: 'a ='}}", "loadBalancer.consistentHash.body: "),
        ("{type: ConsistentHash, consistentHash: {body: ''}}", "loadBalancer.consistentHash.body: "),
    ],
)
def test_balancing(errors: Errors, text: str, error: str) -> None:
    (only,) = found(errors(config(f"url: 'http://a', loadBalancer: {text}")))
    assert only.startswith(f"backends.a.{error}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{path: up}", "path: a path starts with '/'; did you mean '/up'?"),
        ("{path: '/a b'}", "path: a path holds no blanks"),
        ("{interval: 0s}", "interval: must be at least 1ms"),
        ("{timeout: 0s}", "timeout: must be at least 1ms"),
        ("{expectedStatuses: []}", "expectedStatuses: at least one status is needed"),
        ("{expectedStatuses: [200, 99]}", "expectedStatuses[1]: expected a whole number from 200 to 599"),
        ("{healthyThreshold: 0}", "healthyThreshold: expected a whole number of at least 1"),
        ("{unhealthyThreshold: 0}", "unhealthyThreshold: expected a whole number of at least 1"),
    ],
)
def test_health_checks(errors: Errors, text: str, error: str) -> None:
    (only,) = found(errors(config(f"url: 'http://a', healthCheck: {text}")))
    assert only.startswith(f"backends.a.healthCheck.{error}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("retry: {attempts: 0}", "retry.attempts: expected a whole number of at least 1"),
        ("retry: {retryOn: [conect-failure]}", "retry.retryOn[0]: "),
        ("retry: {budget: {percent: 101}}", "retry.budget.percent: expected a whole number from 0 to 100"),
        ("retry: {backoff: {base: 1}}", "retry.backoff.base: "),
        ("hedge: {after: soon}", "hedge.after: "),
        ("hedge: {after: 101p}", "hedge.after: "),
        ("hedge: {budgetPercent: -1}", "hedge.budgetPercent: expected a whole number from 0 to 100"),
        ("outlierDetection: {maxEjectionPercent: 101}", "outlierDetection.maxEjectionPercent: expected a whole"),
        ("outlierDetection: {consecutive5xxErrors: -1}", "outlierDetection.consecutive5xxErrors: expected a whole"),
        ("circuitBreaker: {maxConnections: 0}", "circuitBreaker.maxConnections: expected a whole number of at least 1"),
        ("circuitBreaker: {maxRequests: 0}", "circuitBreaker.maxRequests: expected a whole number of at least 1"),
        ("concurrency: {limit: -1}", "concurrency.limit: expected a whole number of at least 0"),
        ("concurrency: {queueTimeout: 5}", "concurrency.queueTimeout: "),
        ("hold: 5", "hold: "),
    ],
)
def test_what_is_done_about_failures(errors: Errors, text: str, error: str) -> None:
    (only,) = found(errors(config(f"url: 'http://a', {text}")))
    assert only.startswith(f"backends.a.{error}")


def test_failures_on_purpose_must_be_enabled(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(config("url: 'http://a', fault: {abort: {status: 503}}"))
    _, report = examine([str(file)], {})
    (error,) = report.errors
    assert str(error).endswith("backends.a.fault: failures on purpose are off: start the gateway with --enable-faults")
    assert not examine([str(file)], {}, faults=True)[1].errors


def test_everything_at_once_is_reported_where_it_is(errors: Errors) -> None:
    assert errors("""
        backends:
          a:
            endpoints: [http://a, http://a]
            loadBalancer: {type: ConsistentHash}
            healthCheck: {interval: 0s}
            hedge: {after: soon}
    """) == [
        "3:27: backends.a.endpoints[1]: 'http://a' is in the list twice",
        "4:5: backends.a.loadBalancer: ConsistentHash needs 'consistentHash', which says where the key is",
        "5:29: backends.a.healthCheck.interval: must be at least 1ms",
        "6:20: backends.a.hedge.after: expected a duration such as 250ms, or a quantile such as 95p, got 'soon'",
    ]


def test_what_works(read: Read) -> None:
    backend = read("""
        backends:
          a:
            endpoints: [https://a/x, https://b:8443/x/]
            loadBalancer: {type: ConsistentHash, consistentHash: {body: user.id}, panicThreshold: 0}
            healthCheck: {path: /up, expectedStatuses: [200, 204]}
            outlierDetection: {consecutive5xxErrors: 0}
            circuitBreaker: {maxConnections: 1}
            concurrency: {limit: 1, queueTimeout: 1s, adaptive: true}
            hold: 5s
            retry: {attempts: 3, retryOn: [5xx, '429', '503', reset]}
            hedge: {after: 250ms}
            tls: {insecureSkipVerify: true}
    """).backends["a"]
    assert backend.urls == ("https://a/x", "https://b:8443/x/")
    assert backend.retry.retry_on == ("5xx", "429", "503", "reset")
    assert backend.queues


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("batch: {maxBatchSize: 0}", "batch.maxBatchSize: "),
        ("batch: {maxQueue: 0}", "batch.maxQueue: "),
        ("batch: {linger: sometimes}", "batch.linger: "),
        ("batch: {varyHeaders: [cookie, 'a b']}", "batch.varyHeaders[1]: 'a b' is no header name"),
        ("batch: {rowsPath: rows}", "batch: 'rowsPath' and 'predictionsPath' go together"),
        ("batch: {priorityLevels: 0}", "batch.priorityLevels: "),
        ("batch: {priorityLevels: 2, defaultPriority: 3}", "batch.defaultPriority: there are 2 priorityLevels"),
        ("batch: {promoteAfter: 0s}", "batch.promoteAfter: must be at least 1ms"),
        ("protocol: raw, batch: {}", "batch: where the rows are is not known with protocol raw"),
    ],
)
def test_batches(errors: Errors, text: str, error: str) -> None:
    (only,) = found(errors(config(f"url: 'http://a', {text}")))
    assert only.startswith(f"backends.a.{error}")


def test_batches_of_any_protocol(read: Read) -> None:
    paths = "rowsPath: rows, predictionsPath: results"
    asked = read(config(f"url: 'http://a', protocol: raw, batch: {{{paths}, maxDelay: 2ms}}")).backends["a"].batch
    assert asked is not None
    assert (asked.rows_path, asked.predictions_path, asked.max_delay) == ("rows", "results", 0.002)
