"""What the gateway tells about its work, beyond the metrics that are always there."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .mapping import Mapping, Ratio


class AccessLog(Mapping, frozen=True, kw_only=True):
    """One line a request. Without this mapping there is no access log."""

    enabled: Annotated[bool, Meta(description="`false`: the mapping stays, the log is off.")] = True
    format: Annotated[Literal["json", "text"], Meta(description="One JSON object a line, or text.")] = "json"
    path: Annotated[str, Meta(description="`stdout`, `stderr` or a file, by its absolute path.")] = "stdout"
    sample_rate: Annotated[Ratio, Meta(description="The share of the lines that is written, drawn one by one.")] = 1.0
    errors_only: Annotated[bool, Meta(description="Only requests that ended with a status of 400 or above.")] = False


class Telemetry(Mapping, frozen=True, kw_only=True):
    """Logs and metrics. What costs something on every request is off unless asked for."""

    access_log: Annotated[AccessLog | None, Meta(description="One line a request; default: none.")] = None
    overhead_metrics: Annotated[bool, Meta(description="`gateway_overhead_seconds` of every graph.")] = False
    step_metrics: Annotated[bool, Meta(description="Requests and durations of every step of every graph.")] = False
    buckets: Annotated[
        Literal["default", "native"],
        Meta(
            description="Bounds of the histograms of durations. `native`: powers of two, as native histograms have "
            "them. A change needs a restart."
        ),
    ] = "default"
