from __future__ import annotations

import pytest

from gateway.errors import Abandoned, DeadlineExceeded, GatewayError, Overloaded
from gateway.graph.kserve.errors import NoRoute, RouterError, flattened
from tests.support.clock import virtual
from tests.support.service import ask


def test_only_a_missing_route_is_a_404() -> None:
    assert (RouterError("x").status, NoRoute().status) == (500, 404)
    assert NoRoute().cause == "None of the routes matched with the switch condition"


@virtual
async def test_a_parent_keeps_the_cause_and_the_place_but_not_the_status() -> None:
    error = flattened(NoRoute().at(("inner", "s")), ask())
    assert isinstance(error, RouterError)
    assert (error.status, error.cause, error.node, error.step) == (500, NoRoute().cause, "inner", "s")


@pytest.mark.parametrize(("error", "cause"), [(Overloaded("full"), "full"), (Overloaded(), "Overloaded")])
def test_any_other_error_becomes_a_router_error(error: GatewayError, cause: str) -> None:
    flat = flattened(error, ask())
    assert isinstance(flat, RouterError)
    assert flat.cause == cause


@virtual
async def test_what_is_a_router_error_already_stays() -> None:
    for error in (RouterError("x"), Abandoned(), DeadlineExceeded()):
        assert flattened(error, ask(deadline=0.0)) is error


@virtual
async def test_a_step_that_was_too_late_is_an_error_while_the_node_still_has_time() -> None:
    error = flattened(DeadlineExceeded("late").at(("n", "s")), ask(deadline=1.0))
    assert isinstance(error, RouterError)
    assert (error.cause, error.node, error.step) == ("context deadline exceeded", "n", "s")
