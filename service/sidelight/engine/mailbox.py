"""From the engine's threads to one asyncio task: the latest progress, and the end. Never more than one of each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    rows: int  # answered by models so far, every ask counted
    edits: int = 0  # images edited so far
    queued: bool = False  # no row was picked yet
    previews: tuple[torch.Tensor, ...] = ()  # maps so far, one for each running sweep that has one
    relative_error: float | None = None


class Outbox(Protocol):
    """What a run writes to, from any thread."""

    def progress(self, progress: Progress) -> None: ...
    def finish(self, value: Any) -> None: ...
    def fail(self, error: BaseException) -> None: ...


class Mailbox:
    """Progress is coalesced: a slow reader gets the newest, and no run ever waits for a reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._news = asyncio.Event()
        self._end: asyncio.Future = loop.create_future()
        self._end.add_done_callback(lambda end: end.cancelled() or end.exception())  # an unread error is not a leak
        self._latest: Progress | None = None

    def progress(self, progress: Progress) -> None:
        self._call(self._note, progress)

    def finish(self, value: Any) -> None:
        self._call(self._settle, lambda: self._end.set_result(value))

    def fail(self, error: BaseException) -> None:
        self._call(self._settle, lambda: self._end.set_exception(error))

    def _call(self, function: Any, argument: Any) -> None:
        with suppress(RuntimeError):  # the reader's loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(function, argument)

    def _note(self, progress: Progress) -> None:
        if self._latest is not None:  # unread: what it alone told is not lost
            previews = progress.previews or self._latest.previews
            error = self._latest.relative_error if progress.relative_error is None else progress.relative_error
            progress = replace(progress, previews=previews, relative_error=error)
        self._latest = progress
        self._news.set()

    def _settle(self, end: Any) -> None:
        if not self._end.done():
            end()
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        """Progress as it comes, until the run has ended."""
        while not self._end.done():
            await self._news.wait()
            self._news.clear()
            latest, self._latest = self._latest, None
            if latest:
                yield latest

    async def result(self) -> Any:
        """The plan's result. Raises what the run failed with."""
        return await asyncio.shield(self._end)
