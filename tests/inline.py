"""A plan without an engine: the loop that shows what a plan is."""

from collections.abc import Callable

from sidelight.core.sweep import Folded, Placement, Plan, Stop


def inline(plan: Plan, answer: Callable, tile: int = 16, on: Placement | None = None):
    """Run `plan`, asking `answer(ask, columns) -> {"y": ...}` for each tile in turn; its result."""
    try:
        wanted = next(plan)
        while True:
            sweeps = wanted if isinstance(wanted, tuple) else (wanted,)
            folded = tuple(_fold(sweep, answer, tile, on or Placement()) for sweep in sweeps)
            wanted = plan.send(folded if isinstance(wanted, tuple) else folded[0])
    except StopIteration as end:
        return end.value


def _fold(sweep, answer, tile, on):
    for start in range(0, sweep.size, tile):
        rows = range(start, min(start + tile, sweep.size))
        columns, memo = sweep.render(rows, on)
        sweep.fold.add(rows, memo, answer(sweep.ask, columns))
        if sweep.fold.enough():
            return Folded(sweep.fold.value(), rows.stop, Stop.ENOUGH)
    return Folded(sweep.fold.value(), sweep.size, Stop.COMPLETE)
