from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from gateway.telemetry.tracing.context import Parent
from gateway.telemetry.tracing.sampler import Sampler, bound, sampler

LEAST, MOST = b"f" * 16 + b"0" * 16, b"0" * 16 + b"f" * 16
YES, NO = Parent(MOST, b"1" * 16, True), Parent(LEAST, b"1" * 16, False)


@given(trace_id=st.integers(1, (1 << 128) - 1), ratio=st.floats(0, 1))
def test_it_decides_as_opentelemetry_does(trace_id: int, ratio: float) -> None:
    theirs = TraceIdRatioBased(ratio).should_sample(None, trace_id, "").decision
    ours = Sampler(bound(ratio), False)(None, b"%032x" % trace_id)
    assert ours == (theirs is Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize(
    ("name", "root", "yes", "no"),
    [
        ("", True, True, False),
        ("parentbased_always_on", True, True, False),
        ("parentbased_always_off", False, True, False),
        ("always_on", True, True, True),
        ("ALWAYS_OFF", False, False, False),
    ],
)
def test_names(name: str, root: bool, yes: bool, no: bool) -> None:
    chosen = sampler({"OTEL_TRACES_SAMPLER": name})
    assert [chosen(None, LEAST), chosen(None, MOST)] == [root, root]
    assert [chosen(YES, YES.trace_id), chosen(NO, NO.trace_id)] == [yes, no]


def test_a_ratio_looks_at_the_callers_trace_unless_it_is_for_roots_only() -> None:
    said = {"OTEL_TRACES_SAMPLER_ARG": "0.5"}
    free = sampler(said | {"OTEL_TRACES_SAMPLER": "traceidratio"})
    assert [free(YES, YES.trace_id), free(NO, NO.trace_id)] == [False, True]
    bound_by = sampler(said | {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"})
    assert [bound_by(YES, YES.trace_id), bound_by(NO, NO.trace_id)] == [True, False]
    assert [bound_by(None, LEAST), bound_by(None, MOST)] == [True, False]


@pytest.mark.parametrize("ratio", ["2", "-1", "nan", "half"])
def test_nonsense_is_logged_and_the_default_holds(ratio: str, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    assert sampler(environ)(None, MOST)
    assert f"OTEL_TRACES_SAMPLER_ARG={ratio} is not a number" in caplog.text


def test_an_unknown_sampler_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert sampler({"OTEL_TRACES_SAMPLER": "jaeger_remote"}) == sampler({})
    assert "OTEL_TRACES_SAMPLER=jaeger_remote is not known" in caplog.text


@given(ratio=st.floats(2**-60, 1), drawn=st.integers(0, 2**64 - 1))
def test_whatever_is_drawn_below_the_limit_is_taken(ratio: float, drawn: int) -> None:
    chosen = Sampler(bound(ratio), False)
    assert chosen(None, b"f" * 16 + b"%016x" % (drawn * chosen.limit >> 64))
