"""OpenAI's own client against a raw backend without a path: what it is answered is what the model server said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from gateway.config.schema import Backend, Config, Graph, HeaderRules, Node, Step
from tests.support.chat import NAME, ChatModel, chat_model
from tests.support.loopback import closed_port, serving

pytestmark = pytest.mark.e2e

WORDS = ("what", "a", "fine", "day")
HELLO: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def client(url: str, prefix: str = "/v1", **backend: object) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's client of a gateway whose one backend, at ``url``, is everything that no other API claims."""
    graph = Graph(nodes={"root": Node(router_type="Sequence", steps=(Step(backend="llm"),))})
    config = Config(backends={"llm": Backend(url=url, protocol="raw", **backend)}, graphs={"llm": graph})  # type: ignore[arg-type]
    async with (
        serving(config) as gateway,
        DefaultAsyncHttpxClient(trust_env=False) as http,
        AsyncOpenAI(
            base_url=f"http://127.0.0.1:{gateway.number}{prefix}", api_key="secret", max_retries=0, http_client=http
        ) as client,
    ):
        yield client


@pytest.fixture
async def model() -> AsyncIterator[ChatModel]:
    async with chat_model(WORDS) as model:
        yield model


async def test_a_chat(model: ChatModel) -> None:
    async with client(model.url) as ai:
        answer = await ai.chat.completions.create(model=NAME, messages=HELLO, temperature=0.5)
        assert answer.choices[0].message.content == "what a fine day"
        ((asked, headers),) = model.asked
        assert asked == {"model": NAME, "messages": HELLO, "temperature": 0.5}
        assert headers["content-type"] == "application/json"


async def test_several_chats_share_a_connection_and_say_which_request_they_were(model: ChatModel) -> None:
    async with client(model.url) as ai:
        first, second = [await ai.chat.completions.create(model=NAME, messages=HELLO) for _ in range(2)]
        assert first._request_id
        assert second._request_id
        assert first._request_id != second._request_id


async def test_the_key_goes_to_the_model_server_only_where_the_file_says_so(model: ChatModel) -> None:
    listed = HeaderRules(propagate=("^authorization$",))
    async with client(model.url) as silent, client(model.url, headers=listed) as telling:
        for ai in (silent, telling):
            await ai.chat.completions.create(model=NAME, messages=HELLO)
    assert [headers.get("authorization") for _, headers in model.asked] == [None, "Bearer secret"]


async def test_the_model_servers_own_error_is_the_clients(model: ChatModel) -> None:
    model.busy = True
    async with client(model.url) as ai:
        with pytest.raises(openai.RateLimitError, match="too many tokens") as caught:
            await ai.chat.completions.create(model=NAME, messages=HELLO)
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.response.headers["retry-after"] == "7"


async def test_the_gateways_own_error_is_one_that_the_client_can_read() -> None:
    async with client(closed_port()) as ai:
        with pytest.raises(openai.InternalServerError) as caught:
            await ai.chat.completions.create(model=NAME, messages=HELLO)
        assert caught.value.status_code == 503
        # The client takes an object's `message` into its text; what is a string it keeps as the body.
        assert str(caught.value.body).startswith("connect to http://127.0.0.1:")


async def test_the_models_of_a_server_below_a_prefix_of_its_own() -> None:
    # At /v1/models the gateway itself answers, with its graphs.
    async with chat_model(WORDS, "/openai/v1") as model, client(model.url, "/openai/v1") as ai:
        assert [found.id async for found in ai.models.list()] == [NAME]
