from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.exemplars import Exemplar, read
from gateway.telemetry.metrics import Registry, Series
from gateway.telemetry.metrics import read as series_of

NAME = "gateway_request_duration_seconds"
BOUNDS = (0.1, 1.0)


def exemplar(seconds: float, at: float = 1.0, number: int = 0) -> Exemplar:
    return Exemplar(seconds, at, b"%032x" % (number + 1), b"%016x" % (number + 1))


def kept(registry: Registry) -> list[Exemplar | None]:
    (cells,) = (cells for series, cells in series_of(registry.segment) if series.kind == "exemplars")
    return read(cells)


def test_at_first_there_are_none() -> None:
    registry = Registry.private()
    registry.exemplars(NAME, BOUNDS, graph="g")
    assert kept(registry) == [None, None, None]


def test_each_bucket_keeps_its_last_one() -> None:
    registry = Registry.private()
    exemplars = registry.exemplars(NAME, BOUNDS, graph="g")
    first, second, slow = exemplar(0.05), exemplar(0.1, 2.0, 7), exemplar(30.0, 3.5, 8)
    for one in (first, second, slow):
        exemplars.keep(one)
    assert kept(registry) == [second, None, slow]


@given(st.floats(0, 10))
def test_an_exemplar_is_of_the_bucket_that_counts_it(seconds: float) -> None:
    registry = Registry.private()
    registry.histogram(NAME, BOUNDS, graph="g").observe(seconds)
    registry.exemplars(NAME, BOUNDS, graph="g").keep(exemplar(seconds))
    counts = dict(series_of(registry.segment))[Series("histogram", NAME, ("g",), BOUNDS)]
    assert [one is not None for one in kept(registry)] == [count == 1.0 for count in counts[:-1]]


@given(st.integers(0, 72), st.booleans())
def test_half_of_an_exemplar_is_none(written: int, from_the_end: bool) -> None:
    old, new = exemplar(0.05), exemplar(0.07, 9.0, 9)
    memories = []
    for one in (old, new):
        registry = Registry.private()
        registry.exemplars(NAME, BOUNDS, graph="g").keep(one)
        (cells,) = (cells for _, cells in series_of(registry.segment))
        memories.append(cells.tobytes()[:72])
    before, after = memories
    torn = before[:written] + after[written:] if from_the_end else after[:written] + before[written:]
    found = read(memoryview(bytearray(torn)).cast("d"))
    assert found == [new if torn == after else old if torn == before else None]
