"""A language model behind OpenAI's API, as vLLM and its like serve it: it says the words that the test gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

NAME = "llama"


class ChatModel:
    """Answers every chat with ``words``: at once, or, where a stream is asked for, one event each."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.url = ""
        self.asked: list[tuple[dict[str, Any], dict[str, str]]] = []
        """The body and the headers, names in lower case, of each chat."""
        self.sent = 0
        """Events, of all streams."""
        self.pauses_before: int | None = None
        """The event that waits for ``go_on``."""
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()
        """Set when a caller has left before the end."""
        self.busy = False
        """Refuses with 429 while it is."""

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": NAME, "object": "model", "owned_by": "us"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append((asked, {name.lower(): value for name, value in request.headers.items()}))
        if self.busy:
            error = {"message": "too many tokens", "type": "tokens", "code": "rate_limit_exceeded"}
            return web.json_response({"error": error}, status=429, headers={"retry-after": "7"})
        if not asked.get("stream"):
            return web.json_response(_whole(" ".join(self.words)))
        try:
            return await self._streamed(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def _streamed(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number, word in enumerate(self.words):
            if number == self.pauses_before:
                await self.go_on.wait()
            await response.write(b"data: %b\n\n" % orjson.dumps(_piece(word)))
            self.sent += 1
        await response.write(b"data: [DONE]\n\n")
        return response


def _whole(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return _envelope("chat.completion", {"index": 0, "message": message, "finish_reason": "stop"})


def _piece(text: str) -> dict[str, Any]:
    return _envelope("chat.completion.chunk", {"index": 0, "delta": {"content": text}, "finish_reason": None})


def _envelope(kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chat-1", "object": kind, "created": 1, "model": NAME, "choices": [choice]}


@asynccontextmanager
async def chat_model(words: Iterable[str], prefix: str = "/v1") -> AsyncIterator[ChatModel]:
    """One that listens; its API is below ``prefix``."""
    model = ChatModel(list(words))
    app = web.Application()
    app.router.add_get(f"{prefix}/models", model.models)
    app.router.add_post(f"{prefix}/chat/completions", model.chat)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    model.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield model
    finally:
        await runner.cleanup()
