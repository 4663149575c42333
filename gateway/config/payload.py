"""The structs of ``payloadLog``: what is logged of a graph or a step, and where the events go."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .mapping import Count, Duration, Mapping, Positive, Ratio, Size

SinkType = Literal["http", "file", "stdout"]


class PayloadLog(Mapping, frozen=True, kw_only=True):
    """Events of what passes: a request, its answer, or the failure in place of one."""

    sink: Annotated[str, Meta(description="The name of a sink under the top level's `payloadLog`.")]
    mode: Annotated[
        Literal["all", "request", "response"],
        Meta(description="`request`: requests only; `response`: answers and failures; `all`: both."),
    ] = "all"
    sample_rate: Annotated[Ratio, Meta(description="The share of the requests that is logged, 0 to 1.")] = 1.0
    sample_by: Annotated[
        Literal["random", "requestId"],
        Meta(description="`requestId`: by a hash of it, so that steps, retries and replicas agree; or at `random`."),
    ] = "random"
    headers: Annotated[
        tuple[str, ...], Meta(description="Names of headers that events carry, as `metadata`; by default none.")
    ] = ()
    max_body_bytes: Annotated[
        Size, Meta(description="Of a longer body this much is kept, and the event says `truncated`.")
    ] = 1 << 20
    redact: Annotated[
        tuple[str, ...],
        Meta(
            description="jmespath expressions; whatever they find in a body is replaced before it leaves the "
            "process. A body that is not JSON is left out then."
        ),
    ] = ()


class Spool(Mapping, frozen=True, kw_only=True):
    """Where events wait for their sink."""

    path: Annotated[
        str | None,
        Meta(description="A directory that outlives a restart; without it events wait in memory (tmpfs)."),
    ] = None
    max_bytes: Annotated[Size, Meta(description="The most that may wait; beyond it the oldest events are dropped.")] = (
        64 << 20
    )
    fsync: Annotated[
        Duration | Literal["always", "never"],
        Meta(description="At the latest so long after an event is written; or after every write, or `never`."),
    ] = 1.0


class Rotation(Mapping, frozen=True, kw_only=True):
    """When a file begins anew."""

    max_bytes: Annotated[Size, Meta(description="At this size.")] = 100 << 20
    keep: Annotated[Count, Meta(description="Former files kept, as `<path>.1` (the latest) and so on.")] = 5


class KServeIdentity(Mapping, frozen=True, kw_only=True):
    """What events in KServe's dialect say of where they come from."""

    namespace: Annotated[str, Meta(description="The attribute `namespace`.")] = "default"
    component: Annotated[str, Meta(description="The attribute `component`.")] = "predictor"
    endpoint: Annotated[str, Meta(description="The attribute `endpoint`.")] = "default"


class Sink(Mapping, frozen=True, kw_only=True):
    """Takes CloudEvents 1.0."""

    type: Annotated[
        SinkType, Meta(description="`http`: POST to `url`; `file`: JSON lines in `path`; `stdout`: JSON lines.")
    ]
    url: Annotated[str | None, Meta(description="`http` only: the receiver.")] = None
    path: Annotated[str | None, Meta(description="`file` only: the file.")] = None
    content_mode: Annotated[
        Literal["binary", "structured", "batched"],
        Meta(description="`http` only. `batched` needs a receiver that asked for it."),
    ] = "binary"
    dialect: Annotated[
        Literal["gateway", "kserve"], Meta(description="Types and attributes: the gateway's own, or KServe's.")
    ] = "gateway"
    source: Annotated[str | None, Meta(description="The attribute `source`; default: `/graphs/<graph>`.")] = None
    kserve: Annotated[KServeIdentity, Meta(description="For `dialect: kserve`.")] = KServeIdentity()
    headers: Annotated[dict[str, str], Meta(description="`http` only: headers of every call.")] = {}
    timeout: Annotated[Duration, Meta(description="`http` only: for one call.")] = 10.0
    concurrency: Annotated[
        Positive, Meta(description="`http` only: calls at once; with more than 1 events may overtake each other.")
    ] = 1
    rotate: Annotated[Rotation, Meta(description="`file` only.")] = Rotation()
    spool: Annotated[Spool, Meta(description="Where events wait.")] = Spool()


class PayloadSinks(Mapping, frozen=True, kw_only=True):
    """Where payload events go."""

    sinks: Annotated[dict[str, Sink], Meta(description="By name.")] = {}
