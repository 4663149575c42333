"""What the nodes of KServe's router do, from the outside: kserve/kserve cmd/router/main.go, routeStep."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config.kserve import from_graph_json
from gateway.config.report import ConfigErrors
from tests.support.kserve import Json, failed, models, node, router, spec
from tests.support.loopback import Answer, Reply, after, closed_port, status, stub

pytestmark = pytest.mark.e2e

# Sequence.


async def sequence(body: bytes, replies: list[Reply], *steps: Json) -> tuple[Answer, list[list[bytes]]]:
    """The answer, and what each step was sent."""
    async with models(*replies) as called:
        urls = [{"serviceUrl": model.url} for model in called]
        async with router(
            root=node("Sequence", *(url | step for url, step in zip(urls, steps, strict=True)))
        ) as gateway:
            return await gateway.post("/", body), [model.bodies for model in called]


@pytest.mark.parametrize(
    ("data", "expected"), [("", b"in"), ("$request", b"in"), ("$response", b"one"), ("$response.predictions", b"in")]
)
async def test_only_response_itself_means_the_previous_answer(data: str, expected: bytes) -> None:
    _, (_, second) = await sequence(b"in", [b"one", b"two"], {}, {"data": data})
    assert second == [expected]


async def test_the_first_step_has_no_previous_answer() -> None:
    _, (first,) = await sequence(b"in", [b"one"], {"data": "$response"})
    assert first == [b"in"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"predictions":[1,2],"id":"x"}', b'{"instances":[1,2]}'),
        (b'{"Predictions":[1]}', b'{"instances":[1]}'),
        (b'{"predictions":[9007199254740993]}', b'{"instances":[9007199254740993]}'),
        (b'{"predictions":[1],"instances":[2]}', b'{"instances":[1]}'),
        (b'{"predictions":[]}', b'{"predictions":[]}'),
        (b'{"predictions":"x"}', b'{"predictions":"x"}'),
        (b'{"instances":[1]}', b'{"instances":[1]}'),
        (b"not json", b"not json"),
        (b"", b""),
    ],
)
async def test_map_predictions_to_instances(body: bytes, expected: bytes) -> None:
    _, (first,) = await sequence(body, [b"{}"], {"mapPredictionsToInstances": True})
    assert first == [expected]
    _, (_, second) = await sequence(b"{}", [body, b"{}"], {}, {"data": "$response", "mapPredictionsToInstances": True})
    assert second == [expected]


async def test_a_condition_that_holds_leads_on_and_one_that_does_not_ends_with_200() -> None:
    for found, calls, code in ((b'{"a":null}', 1, 201), (b'{"b":1}', 0, 200)):
        replies = [status(404, found), status(201, b'"end"')]
        answer, (_, second) = await sequence(b"{}", replies, {}, {"condition": "a"})
        assert (answer.status, len(second)) == (code, calls)
        assert answer.body == (b'"end"' if calls else found)


@pytest.mark.parametrize("body", [b"no json", b""])
async def test_a_condition_on_an_answer_that_is_no_json(body: bytes) -> None:
    answer, (_, second) = await sequence(b"{}", [body, b"{}"], {}, {"condition": "a"})
    failed(answer, "invalid response")
    assert second == []


async def test_a_condition_of_the_first_step_has_no_answer_to_be_tested_on() -> None:
    answer, (first,) = await sequence(b'{"a":1}', [b"{}"], {"condition": "a"})
    failed(answer, "invalid response")
    assert first == []


@pytest.mark.parametrize(
    ("dependency", "code", "expected", "calls"),
    [
        ("Hard", 404, (404, b'"one"'), 0),
        ("Hard", 302, (302, b'"one"'), 0),
        ("Hard", 204, (200, b'"two"'), 1),
        ("Soft", 500, (200, b'"two"'), 1),
        ("", 500, (200, b'"two"'), 1),
    ],
)
async def test_hard_and_soft(dependency: str, code: int, expected: tuple[int, bytes], calls: int) -> None:
    reply = status(code, b"" if code == 204 else b'"one"')
    answer, (_, second) = await sequence(b"{}", [reply, b'"two"'], {"dependency": dependency}, {})
    assert (answer.status, answer.body, len(second)) == (*expected, calls)


async def test_a_soft_failure_of_the_last_step_is_the_answer_and_response_is_a_failed_one_too() -> None:
    answer, (_, second) = await sequence(b"in", [status(500, b"bad"), status(404, b"no")], {}, {"data": "$response"})
    assert (answer.status, answer.body, second) == (404, b"no", [b"bad"])


async def test_soft_does_not_tolerate_a_step_without_an_answer() -> None:
    url = closed_port()
    async with stub() as m2:
        root = node("Sequence", {"serviceUrl": url, "dependency": "Soft"}, {"serviceUrl": m2.url})
        async with router(root=root) as gateway:
            answer = await gateway.post("/")
    failed(answer, f'Post "{url}": dial tcp {url.removeprefix("http://")}: connect: connection refused')
    assert m2.calls == []


async def test_the_weaknesses_that_are_configuration_errors_here() -> None:
    step = {"nodeName": "root"}
    for nodes, message in (
        ({"root": node("Sequence", step)}, "cycle"),
        ({"root": node("Sequence")}, "without steps"),
        ({"other": node("Ensemble")}, "root node not found"),
        ({"root": node("Splitter", {"serviceUrl": "http://a"})}, "missing the 'Weight'"),
    ):
        with pytest.raises(ConfigErrors) as caught:
            from_graph_json(spec(nodes), {})
        assert any(message in str(error) for error in caught.value.errors), caught.value.errors


async def test_a_node_that_is_not_there_is_an_error_when_it_is_taken() -> None:
    step = {"nodeName": "nowhere", "condition": "a"}
    async with router(
        root=node("Switch", step, {"nodeName": "there", "condition": "b"}), there=node("Ensemble")
    ) as gateway:
        failed(await gateway.post("/", b'{"a":1}'), "invalid route type: ")
        assert (await gateway.post("/", b'{"b":1}')).body == b"{}"


# Switch and Splitter.

NO_ROUTE = "None of the routes matched with the switch condition"


async def test_a_switch_takes_the_first_that_matches() -> None:
    async with models(b'"1"', b'"2"', b'"3"') as (m1, m2, m3):
        root = node(
            "Switch",
            {"serviceUrl": m1.url, "condition": "a"},
            {"serviceUrl": m2.url, "condition": '[@this].#(source=="client")'},
            {"serviceUrl": m3.url},
        )
        async with router(root=root) as gateway:
            for body, expected in (
                (b'{"a":false}', b'"1"'),
                (b'{"source":"client"}', b'"2"'),
                (b'{"a":1,"source":"client"}', b'"1"'),
            ):
                assert (await gateway.post("/", body)).body == expected
            for body in (b'{"b":1}', b"no json", b""):
                failed(await gateway.post("/", body), NO_ROUTE, 404)
    assert m3.calls == []


async def test_a_nested_switch_without_a_match_is_a_500() -> None:
    inner = node("Switch", {"serviceUrl": closed_port(), "condition": "a"})
    for kind in ("Sequence", "Ensemble", "Splitter", "Switch"):
        outer = node(kind, {"nodeName": "inner", "weight": 100, "condition": "@this" if kind == "Switch" else ""})
        async with router(root=outer, inner=inner) as gateway:
            failed(await gateway.post("/", b"{}"), NO_ROUTE, 500)


async def test_a_switchs_choice_passes_through() -> None:
    async with stub(status(404, b"gone")) as m1:
        root = node("Switch", {"serviceUrl": m1.url, "condition": "@this", "dependency": "Hard", "data": "$response"})
        async with router(root=root) as gateway:
            answer = await gateway.post("/", b'{"predictions": [1]}')
    assert (answer.status, answer.body, m1.bodies) == (404, b"gone", [b'{"predictions": [1]}'])


async def test_weights_that_do_not_sum_up_leave_a_gap() -> None:
    async with stub(b'"a"') as m1:
        for weights, outcomes in (((0, 0), {500}), ((50, 0), {200, 500}), ((100, 50), {200})):
            steps = [{"serviceUrl": m1.url, "weight": weight, "condition": "never"} for weight in weights]
            async with router(root=node("Splitter", *steps)) as gateway:
                answers = [await gateway.post("/") for _ in range(40)]
            assert {answer.status for answer in answers} == outcomes
            for answer in answers:
                if answer.status == 500:
                    failed(answer, "no route was selected by the splitter")


# Ensemble.


async def ensemble(replies: list[Reply], *steps: Json) -> Answer:
    async with models(*replies) as called:
        urls = [{"serviceUrl": model.url} for model in called]
        async with router(
            root=node("Ensemble", *(url | step for url, step in zip(urls, steps, strict=True)))
        ) as gateway:
            return await gateway.post("/")


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b"1.5", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        (b'"x"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (b"true", "json: cannot unmarshal bool into Go value of type map[string]interface {}"),
        (b"", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b"{}x", "invalid character 'x' after top-level value"),
    ],
)
async def test_every_answer_must_be_an_object(body: bytes, cause: str) -> None:
    failed(await ensemble([b"{}", body], {"name": "a"}, {"name": "b", "dependency": "Soft"}), cause)


async def test_names_are_sorted_indices_stand_in_and_the_last_of_a_name_wins() -> None:
    replies: list[Reply] = [b'{"n":0}', b'{"n":1}', b"null", b'{"n":3}', b'{"n":4}']
    answer = await ensemble(replies, {"name": "z"}, {}, {"name": "a"}, {"name": "z"}, {"name": "1"})
    assert answer.body == b'{"1":{"n":4},"a":null,"z":{"n":3}}'


async def test_integers_keep_their_digits() -> None:
    big = b'{"id":9007199254740993123456789,"x":0.10000000000000000055511151231257827}'
    assert (await ensemble([big], {"name": "m"})).body == b'{"m":%b}' % big


async def test_the_first_hard_failure_in_step_order_is_the_answer() -> None:
    hard = {"dependency": "Hard"}
    slowly = after(0.2, b"{}")
    bad, worse = status(404, b'{"e": 1}'), status(500, b'{"e": 2}')
    answer = await ensemble([slowly, worse, bad], hard, {}, hard)
    assert (answer.status, answer.json) == (404, {"e": 1})
    answer = await ensemble([slowly, worse, bad], hard, hard, hard)
    assert (answer.status, answer.json) == (500, {"e": 2})


async def test_soft_failures_are_members_like_any_other() -> None:
    answer = await ensemble([status(500, b'{"e":1}'), b"{}"], {"name": "a"}, {"name": "b"})
    assert (answer.status, answer.body) == (200, b'{"a":{"e":1},"b":{}}')


async def test_no_steps_are_an_empty_object() -> None:
    answer = await ensemble([])
    assert (answer.status, answer.body) == (200, b"{}")


async def test_a_soft_step_without_an_answer_is_an_error_at_once_and_the_rest_is_called_off() -> None:
    url = closed_port()
    async with stub(after(30.0)) as slow:
        root = node("Ensemble", {"serviceUrl": slow.url}, {"serviceUrl": url, "dependency": "Soft"})
        async with router(root=root) as gateway:
            answer = await gateway.post("/")
            await slow.cancelled.wait()
    failed(answer, f'Post "{url}": dial tcp {url.removeprefix("http://")}: connect: connection refused')


async def test_a_client_that_goes_away_calls_its_steps_off() -> None:
    async with stub(after(30.0)) as slow, router(root=node("Sequence", {"serviceUrl": slow.url})) as gateway:
        task = asyncio.create_task(gateway.post("/"))
        await slow.arrived.acquire()
        task.cancel()
        await slow.cancelled.wait()
