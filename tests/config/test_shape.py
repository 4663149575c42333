import pytest

from gateway.config.manifest import Manifest
from gateway.config.scalars import Duration, Size, Whole, Words
from gateway.config.schema import Config, Step
from gateway.config.shape import Many, One, Record, Shape, Table, shape


def every(record: Record) -> list[Record]:
    inner = [of(key.shape) for key in record.keys]
    return [record, *(found for child in inner if child is not None for found in every(child))]


def of(kind: Shape) -> Record | None:
    if isinstance(kind, Many | Table):
        return of(kind.of)
    return kind if isinstance(kind, Record) else None


def test_the_keys_of_a_mapping() -> None:
    step = shape(Step)
    assert not step.open
    assert step.by_name["backend"] is step.by_name["serviceName"]
    assert isinstance(step.by_name["timeout"].shape, One)
    assert step.by_name["timeout"].shape.kinds == (Duration(),)
    assert step.by_name["weight"].shape == One((Whole(0),))
    assert shape(Config).by_name["graphs"].default == {}


def test_kinds_of_scalars() -> None:
    server = shape(Config).by_name["server"].shape
    assert isinstance(server, Record)
    assert server.by_name["workers"].shape == One((Whole(1), Words(("auto",))))
    listen = server.by_name["listen"].shape
    assert isinstance(listen, Many)
    assert listen.or_one
    limits = server.by_name["limits"].shape
    assert isinstance(limits, Record)
    assert limits.by_name["maxBodyBytes"].shape == One((Size(),))


def test_what_is_internal_is_no_key() -> None:
    assert "router" not in shape(Config).by_name


@pytest.mark.parametrize(
    "record", [*every(shape(Config)), *every(shape(Manifest))], ids=lambda record: record.cls.__name__
)
def test_everything_is_described(record: Record) -> None:
    assert record.cls.__doc__
    assert all(key.description.endswith(".") for key in record.keys)


def test_a_manifest_is_open() -> None:
    assert all(record.open for record in every(shape(Manifest)))
