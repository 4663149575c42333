"""KServe's InferenceGraph as it is written (pkg/apis/serving/v1alpha1/inference_graph.go), as far as a router reads it.

All of it is open: keys that concern Kubernetes only (resources, affinity, status) are ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .schema import RouterType


class Open(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mapping whose other keys are none of our business."""


class InferenceStep(Open, frozen=True, kw_only=True):
    """One step of a router: exactly one of `nodeName`, `serviceName` and `serviceUrl`."""

    name: Annotated[str, Meta(description="The key of its answer in an `Ensemble` (else: the index).")] = ""
    node_name: Annotated[str | None, Meta(description="Go on with this node.")] = None
    backend: Annotated[str | None, Meta(description="An InferenceService, or a backend of that name.")] = msgspec.field(
        default=None, name="serviceName"
    )
    service_url: Annotated[str | None, Meta(description="Call exactly this URL.")] = None
    data: Annotated[str, Meta(description="`$response`: the previous step's answer; else the node's input.")] = ""
    dependency: Annotated[Literal["Soft", "Hard"], Meta(description="`Hard`: its failure is the node's answer.")] = (
        "Soft"
    )
    condition: Annotated[str, Meta(description="A gjson path: it holds when the path exists.")] = ""
    map_predictions_to_instances: Annotated[bool, Meta(description="Send predictions on as instances.")] = False
    weight: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="Percent, in a `Splitter`.")] = None


class InferenceRouter(Open, frozen=True, kw_only=True):
    """A node of the graph."""

    router_type: Annotated[RouterType, Meta(description="How it goes through its steps.")]
    steps: Annotated[tuple[InferenceStep, ...], Meta(description="Its steps.")] = ()


class RouterTimeouts(Open, frozen=True, kw_only=True):
    """Seconds; 0 or less: no limit."""

    server_read: Annotated[int, Meta(description="To receive a request.")] = 60
    server_write: Annotated[int, Meta(description="From the request's head to the end of the answer.")] = 60
    server_idle: Annotated[int, Meta(description="Between two requests of a connection.")] = 180
    service_client: Annotated[int | None, Meta(description="For one call of a service.")] = None


class Spec(Open, frozen=True, kw_only=True):
    """The graph itself."""

    nodes: Annotated[dict[str, InferenceRouter], Meta(description="By name; a request enters at `root`.")]
    router_timeouts: Annotated[RouterTimeouts, Meta(description="Patience.")] = RouterTimeouts()


class Metadata(Open, frozen=True, kw_only=True):
    """Of any Kubernetes object."""

    name: Annotated[str, Meta(description="The graph's name.")]
    namespace: Annotated[str, Meta(description="Where its services live.")] = "default"


class Manifest(Open, frozen=True, kw_only=True):
    """A whole InferenceGraph."""

    api_version: Annotated[str, Meta(description="`serving.kserve.io/v1alpha1`.")]
    kind: Annotated[Literal["InferenceGraph"], Meta(description="`InferenceGraph`.")]
    metadata: Annotated[Metadata, Meta(description="Its name.")]
    spec: Annotated[Spec, Meta(description="The graph itself.")]
