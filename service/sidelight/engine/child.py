"""How a process for local work begins. Imported by every such process, so without torch and the rest of the engine."""

import importlib
import os
import signal
import threading
from collections.abc import Iterable
from multiprocessing.connection import Connection


def begin(lifeline: Connection) -> None:
    """Leave Ctrl-C to the service; end when it lets go of its end of `lifeline`, also because it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(0)  # the main thread may be deep in somebody's work, or wait for some that will never come


def prepare(modules: Iterable[str]) -> None:
    """Import what local work will need."""
    for module in modules:
        importlib.import_module(module)
