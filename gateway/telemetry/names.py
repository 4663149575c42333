"""Every metric: its name, kind, labels and help text. Code, exposition and docs/operations.md follow it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """What one name means; ``labels`` in the order in which they are printed."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5),
    *(0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""Seconds: OpenTelemetry's advice for HTTP, with finer steps for fast models and longer ones for slow ones."""

NATIVE: Final = tuple(2.0**exponent for exponent in range(-10, 11))
"""Seconds: those of Prometheus' native histograms of schema 0, which every finer schema has, too; 1 ms to 17 min.

https://prometheus.io/docs/specs/native_histograms/#schema
"""

BOUNDS: Final = {"default": BUCKETS, "native": NATIVE}
"""The two by what ``telemetry.buckets`` calls them."""

METRICS: Final[dict[str, Metric]] = {
    "gateway_requests_total": Metric(
        "counter", "Requests answered, by graph, status and outcome.", ("graph", "code", "outcome")
    ),
    "gateway_request_duration_seconds": Metric(
        "histogram", "Time from a request's arrival to the end of its answer.", ("graph",)
    ),
    "gateway_requests_in_flight": Metric("gauge", "Requests that have arrived and are not answered yet.", ("graph",)),
    "gateway_saturation_ratio": Metric(
        "gauge", "Requests in flight, as a part of server.limits.maxInFlight; there if that is set."
    ),
    "gateway_split_total": Metric(
        "counter", "Requests that a Splitter or a Switch sent to a step.", ("graph", "node", "step")
    ),
    "gateway_step_requests_total": Metric(
        "counter",
        "Requests to a step, by the status of its answer or of the failure.",
        ("graph", "node", "step", "code"),
    ),
    "gateway_step_duration_seconds": Metric("histogram", "Time a step took.", ("graph", "node", "step")),
    "gateway_step_requests_in_flight": Metric(
        "gauge", "Requests that a step is at work on.", ("graph", "node", "step")
    ),
    "gateway_overhead_seconds": Metric(
        "histogram", "Time that requests took while no backend was being called.", ("graph",)
    ),
    "gateway_access_log_dropped_total": Metric(
        "counter", "Lines of the access log that were not written: full or failed.", ("reason",)
    ),
    "gateway_connections": Metric("gauge", "Open client connections."),
    "gateway_connections_accepted_total": Metric("counter", "Client connections accepted."),
    "gateway_received_bytes_total": Metric("counter", "Bytes that clients have sent, heads and all."),
    "gateway_sent_bytes_total": Metric("counter", "Bytes of answers to clients, heads and all."),
    "gateway_bad_requests_total": Metric(
        "counter", "Requests refused before any graph saw them, by the status they got.", ("code",)
    ),
    "gateway_buffered_bytes": Metric("gauge", "Bytes of large bodies that are held, of requests and of answers."),
    "gateway_buffer_refusals_total": Metric("counter", "Bodies refused with 503 for want of room for them."),
    "gateway_upstream_requests_total": Metric(
        "counter", "Calls to a backend, by the status of its answer or of the failure.", ("backend", "code")
    ),
    "gateway_upstream_duration_seconds": Metric("histogram", "Time a call to a backend took.", ("backend",)),
    "gateway_upstream_active_requests": Metric("gauge", "Calls to a backend that are under way.", ("backend",)),
    "gateway_upstream_health_checks_total": Metric(
        "counter", "Health checks of a backend's endpoints, by result: success or failure.", ("backend", "result")
    ),
    "gateway_upstream_ejections_total": Metric(
        "counter",
        "Endpoints found to fail, by what was counted; enforced false: it was the last one, or too many were out.",
        ("backend", "type", "enforced"),
    ),
    "gateway_upstream_ejected": Metric(
        "gauge", "Endpoints that are left out for their failures; every worker counts its own.", ("backend",)
    ),
    "gateway_upstream_dns_failures_total": Metric(
        "counter", "Look-ups of a backend's host names that failed.", ("backend",)
    ),
    "gateway_upstream_connections": Metric("gauge", "Open connections to a backend.", ("backend",)),
    "gateway_upstream_connections_opened_total": Metric("counter", "Connections opened to a backend.", ("backend",)),
    "gateway_upstream_connect_failures_total": Metric("counter", "Connections to a backend that failed.", ("backend",)),
    "gateway_upstream_stale_retries_total": Metric(
        "counter", "Calls sent again because the backend had closed an idle connection.", ("backend",)
    ),
    "gateway_faults_injected_total": Metric(
        "counter", "Calls made late or answered with an error on purpose: delay or abort.", ("backend", "type")
    ),
    "gateway_upstream_retries_total": Metric(
        "counter", "Calls to a backend that were repeated, by what had become of them.", ("backend", "reason")
    ),
    "gateway_upstream_retry_success_total": Metric(
        "counter", "Requests to a backend that a retry led to a good answer.", ("backend",)
    ),
    "gateway_upstream_retry_budget_exhausted_total": Metric(
        "counter", "Calls to a backend not repeated because too many were already.", ("backend",)
    ),
    "gateway_upstream_hedges_total": Metric(
        "counter",
        "Second calls to a slow backend: won, lost, or not made for want of a budget.",
        ("backend", "result"),
    ),
    "gateway_upstream_endpoints": Metric("gauge", "Endpoints of a backend; every worker counts its own.", ("backend",)),
    "gateway_upstream_healthy": Metric(
        "gauge",
        "Endpoints that are neither unhealthy, ejected nor unreachable; every worker counts its own.",
        ("backend",),
    ),
    "gateway_upstream_panic_total": Metric(
        "counter", "Times that too few endpoints were healthy, so that all were used.", ("backend",)
    ),
    "gateway_queue_depth": Metric(
        "gauge", "Requests that wait for an endpoint to have room, or to come up.", ("backend",)
    ),
    "gateway_queue_capacity": Metric("gauge", "Requests that may wait so at once.", ("backend",)),
    "gateway_queue_wait_seconds": Metric(
        "histogram", "Time that requests waited before an endpoint took them.", ("backend",)
    ),
    "gateway_queue_dropped_total": Metric(
        "counter",
        "Requests that no endpoint took, by reason: full, timeout, deadline, cancelled or unhealthy.",
        ("backend", "reason"),
    ),
    "gateway_cold_starts_total": Metric(
        "counter", "Times that requests were held because no endpoint was up.", ("backend",)
    ),
    "gateway_cold_start_seconds": Metric(
        "histogram", "Time from the first request held to the first endpoint up.", ("backend",)
    ),
    "gateway_batch_size": Metric(
        "histogram", "Rows in a call that a batch became; its count is the calls.", ("backend",)
    ),
    "gateway_batch_requests": Metric("histogram", "Requests in such a call.", ("backend",)),
    "gateway_batch_wait_seconds": Metric(
        "histogram", "Time from a request's arrival to the call that it is part of.", ("backend",)
    ),
    "gateway_batch_linger_seconds": Metric(
        "histogram", "Time for which a batch waited for more although it could have been sent.", ("backend",)
    ),
    "gateway_batch_queue_depth": Metric("gauge", "Requests that wait to be part of a batch.", ("backend",)),
    "gateway_batch_in_flight": Metric("gauge", "Batches under way.", ("backend",)),
    "gateway_batch_keys": Metric(
        "gauge", "Kinds of requests that can share calls; every worker counts its own.", ("backend",)
    ),
    "gateway_batch_cost_seconds": Metric(
        "gauge",
        "What a call takes, as learned: its fixed part and for each row; mean of the workers.",
        ("backend", "part"),
    ),
    "gateway_batch_bypassed_total": Metric(
        "counter", "Requests that were not batched, by reason.", ("backend", "reason")
    ),
    "gateway_batch_dropped_total": Metric(
        "counter",
        "Requests that left before they were sent: full, late (refused on arrival), preempted "
        "(by a more urgent one), deadline; cancelled at any time.",
        ("backend", "reason"),
    ),
    "gateway_batch_isolations_total": Metric(
        "counter", "Batches that failed and were made again in parts.", ("backend",)
    ),
    "gateway_batch_extra_calls_total": Metric("counter", "Calls made for such parts.", ("backend",)),
    "gateway_batch_mismatches_total": Metric(
        "counter", "Answers to batches whose rows did not add up, so that nothing was taken from them.", ("backend",)
    ),
    "gateway_batch_rests_total": Metric(
        "counter",
        "Times that nothing of a kind was merged any more for a while, after several such answers.",
        ("backend",),
    ),
    "gateway_event_loop_lag_seconds": Metric("histogram", "How late the timers of the workers ring."),
    "gateway_trace_spans_total": Metric(
        "counter", "Spans sent to the collector of traces, by result: success or failure.", ("result",)
    ),
    "gateway_trace_spans_dropped_total": Metric("counter", "Spans that were dropped because too many waited."),
    "gateway_payload_log_events_total": Metric(
        "counter", "Payload events, by result: recorded (in the spool) or sent (the sink has it).", ("sink", "result")
    ),
    "gateway_payload_log_dropped_total": Metric(
        "counter",
        "Payload events lost, by reason: memory, disk, spool (it was full), damaged, rejected (by the sink).",
        ("sink", "reason"),
    ),
    "gateway_payload_log_retries_total": Metric(
        "counter", "Messages that a sink did not take, and that are sent again.", ("sink",)
    ),
    "gateway_payload_log_queue_bytes": Metric("gauge", "What waits in the spool for a sink, in bytes.", ("sink",)),
    "gateway_config_last_reload_successful": Metric("gauge", "1 if the last (re)load succeeded, else 0."),
    "gateway_config_last_reload_success_timestamp_seconds": Metric(
        "gauge", "When the configuration in use was loaded (Unix time)."
    ),
    "gateway_config_reloads_total": Metric("counter", "Reloads, by result: success or failure.", ("result",)),
    "gateway_build_info": Metric("gauge", "Always 1; the labels tell the versions.", ("version", "python")),
    "gateway_workers": Metric("gauge", "Worker processes that are serving."),
    "gateway_worker_restarts_total": Metric("counter", "Worker processes started in place of one that died."),
    "gateway_worker_cpu_seconds_total": Metric("counter", "CPU time, user and system, of a worker.", ("worker",)),
    "gateway_worker_memory_bytes": Metric("gauge", "Resident memory of a worker.", ("worker",)),
    "gateway_worker_start_time_seconds": Metric("gauge", "When a worker was started (Unix time).", ("worker",)),
    "gateway_worker_threads": Metric("gauge", "Threads of a worker.", ("worker",)),
    "gateway_worker_open_fds": Metric("gauge", "Files and connections that a worker has open.", ("worker",)),
    "gateway_worker_max_fds": Metric("gauge", "Files and connections that a worker may have open.", ("worker",)),
}
