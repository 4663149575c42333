"""Which requests are traced: OTEL_TRACES_SAMPLER, decided on hexadecimal digits, for most requests are not.

https://opentelemetry.io/docs/specs/otel/trace/sdk/#sampling
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from .context import Parent

log = logging.getLogger("gateway")

_NAMES = ("always_on", "always_off", "traceidratio")
_DEFAULT = "parentbased_always_on"
_ALL = b"g"
"""More than any digits are."""


class Sampler(msgspec.Struct, frozen=True):
    """Takes the traces whose id's last 16 digits are less than ``bound``."""

    bound: bytes
    by_parent: bool
    """Believe a caller that has decided already."""

    def __call__(self, parent: Parent | None, trace_id: bytes) -> bool:
        if parent is not None and self.by_parent:
            return parent.sampled
        return trace_id[16:] < self.bound

    @property
    def limit(self) -> int:
        """The bound as a number, of 64 bits at most and one more."""
        return 1 << 64 if self.bound == _ALL else int(self.bound, 16)


def bound(ratio: float) -> bytes:
    """What that share of all trace ids is less than, as OpenTelemetry's SDK draws the line."""
    limit = round(ratio * (1 << 64))
    return _ALL if limit >> 64 else b"%016x" % limit


def sampler(environ: Mapping[str, str]) -> Sampler:
    """What OTEL_TRACES_SAMPLER and its _ARG say; where that is nonsense, the log says so and the default holds."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or _DEFAULT
    kind = name.removeprefix("parentbased_")
    if kind not in _NAMES:
        log.warning("OTEL_TRACES_SAMPLER=%s is not known here: %s is used", name, _DEFAULT)
        name, kind = _DEFAULT, "always_on"
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind)
    return Sampler(bound(_ratio(environ) if ratio is None else ratio), name != kind)


def _ratio(environ: Mapping[str, str]) -> float:
    said = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        ratio = float(said)
    except ValueError:
        ratio = -1.0
    if 0.0 <= ratio <= 1.0:
        return ratio
    log.warning("OTEL_TRACES_SAMPLER_ARG=%s is not a number from 0 to 1: 1 is used", said)
    return 1.0
