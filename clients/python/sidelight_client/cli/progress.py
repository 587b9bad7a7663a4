"""Progress on standard error: a bar on a terminal, a few plain lines elsewhere."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from sidelight_client.events import Accepted, Progress

LINES = 4  # where there is no terminal


class _Eta(ProgressColumn):
    """The service's own clock and counts, which know of waiting; rich's would start at the first event."""

    def render(self, task: Task) -> Text:
        eta = task.fields["eta"]
        return Text("" if eta is None else f"{eta:.0f} s to go", style="progress.remaining")


class ProgressLine:
    """A context manager whose instance is the client's `on_progress`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TextColumn("{task.fields[error]}", style="cyan"),
            TimeElapsedColumn(),
            _Eta(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("asking", total=1, eta=None, error="", done="")
        self._printed = 0

    def __enter__(self) -> "ProgressLine":
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, event: Accepted | Progress) -> None:
        if isinstance(event, Accepted):
            self._bar.update(self._task, description="accepted", done=f"{event.estimate.evaluations} rows")
            return
        editing = event.edits < event.edits_expected and not event.rows
        word = "waiting for others" if event.queued else "editing" if editing else "explaining"
        self._bar.update(self._task, completed=event.fraction, description=word, eta=event.eta, done=_done(event))
        if event.relative_error is not None:
            self._bar.update(self._task, error=f"± {event.relative_error:.0%}")
        quarter = int(event.fraction * LINES)
        if not self._console.is_terminal and quarter > self._printed:
            self._printed = quarter
            self._console.print(f"{_done(event)}, {event.elapsed:.1f} s")


def _done(event: Progress) -> str:
    """Rows, and edits where there are any."""
    edits = f"{event.edits}/{event.edits_expected} edits, " if event.edits_expected else ""
    return f"{edits}{event.rows}/{event.rows_expected} rows"
