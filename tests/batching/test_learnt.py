from __future__ import annotations

import gc

from gateway.batching.lane import Lane
from gateway.batching.learnt import Learnt
from gateway.batching.queue import Queue
from gateway.config.batch import Batch as Policy
from tests.support.toy import Model, Toy


def opened(queue: Queue, key: str) -> Lane:
    lane = queue.open(key, Model(), Toy(), 0.0)
    assert lane is not None
    return lane


def test_the_next_generation_knows_what_the_one_before_does() -> None:
    learnt = Learnt()
    old, new = (Queue(Policy(), learnt, 1, 10) for _ in range(2))
    opened(old, "bad").kind.rest(7.0)
    learnt.cost.observe(1, 0.5)
    assert opened(new, "bad").kind.rest_until == 7.0
    assert opened(new, "other").kind.rest_until < 0
    assert "500 ms" in repr(new)
    learnt.close()


def test_what_waits_is_not_shared() -> None:
    learnt = Learnt()
    old, new = (opened(Queue(Policy(), learnt, 1, 10), "a") for _ in range(2))
    assert old.kind is new.kind
    assert old.waiting is not new.waiting


def test_a_key_is_forgotten_with_its_last_lane() -> None:
    learnt = Learnt()
    kept, dropped = (Queue(Policy(), learnt, 1, 10) for _ in range(2))
    for queue in (kept, dropped):
        opened(queue, "both").kind.rest(7.0)
    opened(dropped, "one").kind.rest(7.0)
    dropped.lanes.clear()
    gc.collect()
    assert learnt.kind("both").rest_until == 7.0
    assert learnt.kind("one").rest_until < 0
