"""The struct of a backend's ``batch``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .mapping import Duration, Mapping, Positive


class Batch(Mapping, frozen=True, kw_only=True):
    """Concurrent requests made into one call. What cannot share a call passes through as it came."""

    max_batch_size: Annotated[
        Positive, Meta(description="Rows in a call. A request with more of them goes alone; none is ever divided.")
    ] = 32
    max_delay: Annotated[
        Duration, Meta(description="The longest that a request waits for others while the backend could take it.")
    ] = 0.005
    max_concurrent_batches: Annotated[
        Positive,
        Meta(
            description="Calls at once, of all endpoints and all workers together, but at least one for each worker. "
            "While they are under way, requests gather: 1 for a model server that does one thing at a time."
        ),
    ] = 1
    max_queue: Annotated[Positive, Meta(description="Requests that may wait, all workers together; beyond: 503.")] = (
        1024
    )
    linger: Annotated[
        Literal["adaptive", "fixed", "off"],
        Meta(
            description="Whether a call that could be made waits for more rows. `adaptive`: only where clients are "
            "seen to come back together; `fixed`: until the oldest request has waited for `maxDelay`, as Triton "
            "does; `off`: never."
        ),
    ] = "adaptive"
    isolate_errors: Annotated[
        Literal["bisect", "individual", "off"],
        Meta(
            description="When a call fails that a single row may have spoiled. `bisect`: it is made again in halves, "
            "until the one is found; `individual`: each request is sent alone; `off`: all get the error."
        ),
    ] = "bisect"
    vary_headers: Annotated[
        tuple[str, ...],
        Meta(
            description="Headers of the client, whether or not they reach the backend: requests that differ in one "
            "never share a call. The same goes for all that do reach it, but for trace context, request ids, and "
            "where the client is."
        ),
    ] = ("authorization", "cookie", "x-api-key")
    priority_levels: Annotated[
        Positive,
        Meta(
            description="How many there are, 1 being the most urgent. The header `x-priority` of a request says which "
            "is its own, or the parameter `priority` of a v2 request. With 1 all are equal, and nobody looks."
        ),
    ] = 1
    default_priority: Annotated[
        Positive | None,
        Meta(description="The level of requests that name none; default: the middle one, and of two the second."),
    ] = None
    promote_after: Annotated[
        Duration,
        Meta(
            description="How long a request gives way to those of the next level: who comes later than that waits "
            "behind it, so that nobody waits for ever."
        ),
    ] = 1.0
    report_size: Annotated[
        bool,
        Meta(description="Tell clients in `x-gateway-batch-size` how many rows the call had that an answer is from."),
    ] = False
    rows_path: Annotated[
        str | None,
        Meta(
            description="Where a body has its rows, if not where the protocol says, as `data.ndarray`; goes with "
            "`predictionsPath`. A backend with `protocol: raw` needs both."
        ),
    ] = None
    predictions_path: Annotated[str | None, Meta(description="Where an answer has one result for each row.")] = None
