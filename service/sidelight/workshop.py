"""Makes the image editors, each in the background, and tells the studio which there are and why the others are not."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sidelight.core.editor import Editor
from sidelight.core.errors import SidelightError, Unsupported
from sidelight.editors.executor import EditorExecutor
from sidelight.engine.engine import Engine
from sidelight.engine.threads import briefly, spread
from sidelight.rpc.studio import Studio

log = logging.getLogger(__name__)

SOONEST, SLOWEST = 5.0, 600.0  # seconds until an editor that could not be made is tried again; and at most


@dataclass(frozen=True)
class EditorSource:
    """How to make an editor of a kind.

    Raises Unsupported where it is no use to try again, and another SidelightError where it may be.
    """

    kind: str
    make: Callable[[], Editor]


class EditorWatch:
    """Makes one editor. `joined` is told when the engine has it, `ready` whether it can be asked."""

    def __init__(
        self,
        name: str,
        source: EditorSource,
        engine: Engine,
        studio: Studio,
        joined: Callable[[EditorExecutor], None] = lambda executor: None,
        ready: Callable[[str, bool], None] = lambda name, ready: None,
        soonest: float = SOONEST,
    ) -> None:
        self._name, self._source, self._engine, self._studio = name, source, engine, studio
        self._joined, self._ready, self._pause = joined, ready, soonest
        studio.note(name, source.kind)
        ready(name, False)

    async def follow(self) -> None:
        """Until it is made, or given up."""
        about = {"editor": self._name}
        while True:
            began = time.monotonic()
            try:
                editor = await briefly(self._source.make)
            except SidelightError as error:
                given_up = isinstance(error, Unsupported)
                self._studio.note(self._name, self._source.kind, reason=str(error), given_up=given_up)
                log.warning("no editor %s: %s", self._name, error, extra=about)
                if given_up:
                    return
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, SLOWEST)
            else:
                self.join(editor)
                log.info(
                    "editor %s is ready", self._name, extra={**about, "seconds": round(time.monotonic() - began, 3)}
                )
                return

    def join(self, editor: Editor) -> None:
        """It is made: the engine has it, and it can be asked."""
        executor = EditorExecutor(editor, spread)
        self._engine.add_editor(executor)
        self._joined(executor)
        self._studio.note(self._name, self._source.kind, editor)
        self._ready(self._name, True)
