from __future__ import annotations

from msgspec import Raw

from gateway.formats import text
from gateway.formats.frames import Frames
from gateway.formats.tensor import tensors

JSON = (
    b'{%b"outputs":[{"name":"y","shape":[3],"datatype":"INT8","data":[1,2,3]},'
    b'{"name":"z","shape":[3,2],"datatype":"INT8","parameters":{"binary_data_size":6}}]%b,"parameters":{"k":1e400}}'
)
SHARE = Raw(b"[1,2]"), memoryview(b"abcd")
FILLED = (
    b'{%b"outputs":[{"name":"y","shape":[2],"datatype":"INT8","data":[1,2]},'
    b'{"name":"z","shape":[2,2],"datatype":"INT8","parameters":{"binary_data_size":4}}]%b,"parameters":{"k":1e400}}'
)


def frames(before: bytes = b"", after: bytes = b"") -> Frames:
    top = text.members(JSON % (before, after))
    return Frames(top, tensors(top["outputs"], memoryview(b"abcdef")))


def test_ids_stay_where_they_are() -> None:
    own = Raw(b'"own"')
    assert frames(before=b'"id":"batch",').of(2, own, SHARE) == FILLED % (b'"id":"own",', b"")
    assert frames(after=b',"id":"batch"').of(2, own, SHARE) == FILLED % (b"", b',"id":"own"')


def test_who_has_no_id_gets_none_and_who_has_one_gets_it_only_if_the_model_says_one() -> None:
    assert frames(before=b'"id":"batch",').of(2, None, SHARE) == FILLED % (b"", b"")
    assert frames().of(2, Raw(b'"own"'), SHARE) == FILLED % (b"", b"")


def test_shares_of_one_answer_do_not_mix() -> None:
    all_of_them = frames(before=b'"id":"batch",')
    for rows, id in ((1, Raw(b'"a"')), (2, None), (1, None), (2, Raw(b'"b"')), (1, Raw(b'"c"'))):
        again = frames(before=b'"id":"batch",')
        assert all_of_them.of(rows, id, SHARE) == again.of(rows, id, SHARE)
