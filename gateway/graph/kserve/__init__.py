"""The nodes as KServe's InferenceGraph router means them: its Soft and Hard, its statuses, its error texts.

Outermost stands KServeEdge, around each call CallService. In between, every failure is a RouterError, but for Abandoned
and DeadlineExceeded. The rules are those of kserve/kserve ``cmd/router/main.go``, but integers keep their digits and no
work leaks.
"""

from .call import BadUrl, CallService, NoNode
from .edge import KServeEdge
from .ensemble import KServeEnsemble
from .errors import NoRoute, RouterError
from .gourl import refusal
from .redirect import Redirects
from .sequence import KServeSequence
from .sidecar import Mesh, Sidecar
from .splitter import KServeSplitter
from .switch import KServeSwitch

__all__ = [
    "BadUrl",
    "CallService",
    "KServeEdge",
    "KServeEnsemble",
    "KServeSequence",
    "KServeSplitter",
    "KServeSwitch",
    "Mesh",
    "NoNode",
    "NoRoute",
    "Redirects",
    "RouterError",
    "Sidecar",
    "refusal",
]
