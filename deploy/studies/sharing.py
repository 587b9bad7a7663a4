"""Plans whose rows are the same share them: masks do not depend on what is made of the outputs.

Every plan is the service's own, with its own fold; only who asks for the rows is arranged here.
"""

from collections.abc import Hashable, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

from sidelight.core.ask import Local
from sidelight.core.fold import Fold, Out
from sidelight.core.sweep import Folded, Plan, Stop, Stopped, Sweep


class Each(Fold[tuple]):
    """The folds of several sweeps over the same rows; a shorter one takes the first of them."""

    def __init__(self, sweeps: Sequence[Sweep]) -> None:
        self.sweeps = sweeps

    def add(self, rows: range, memo: Any, out: Out) -> None:
        for sweep in self.sweeps:
            if rows.stop <= sweep.size:
                sweep.fold.add(rows, memo, out)
            elif rows.start < sweep.size:
                n = sweep.size - rows.start
                sweep.fold.add(rows[:n], memo[:n], {name: y[:n] for name, y in out.items()})

    def value(self) -> tuple:
        return tuple(sweep.fold.value() for sweep in self.sweeps)


def sharing(
    plans: Sequence[Plan], alike: Sequence[Hashable], known: MutableMapping[str, Any] | None = None
) -> Plan[list[Any]]:
    """Step `plans` together. Those with equal `alike` ask for the same rows, which are asked for once.

    Host work is the same for all; what `known` has of it by name is not done again, and what is done is put there.
    Returns the plans' results in order.
    """
    known = {} if known is None else known
    results: list[Any] = [None] * len(plans)
    wanted: dict[int, Sweep] = {}

    def step(i: int, answer: Any) -> None:
        try:
            sweep = plans[i].send(answer)
            if not isinstance(sweep, Sweep):
                raise TypeError("a plan that shares its rows yields one sweep at a time")
            wanted[i] = sweep
        except StopIteration as end:
            wanted.pop(i, None)
            results[i] = end.value

    try:
        for i in range(len(plans)):
            step(i, None)
        while wanted:
            for i, sweep in list(wanted.items()):
                if isinstance(sweep.ask, Local) and sweep.ask.name in known:
                    step(i, Folded(known[sweep.ask.name], sweep.size, Stop.COMPLETE))
            groups: dict[Hashable, list[int]] = {}
            for i, sweep in wanted.items():
                groups.setdefault(sweep.ask if isinstance(sweep.ask, Local) else (sweep.ask, alike[i]), []).append(i)
            merged = [_merged([wanted[i] for i in group]) for group in groups.values()]
            if not merged:
                continue
            answers = yield tuple(merged)
            for group, sweep, folded in zip(groups.values(), merged, answers, strict=True):
                if folded.rows < sweep.size:
                    raise Stopped(folded.stop)
                if isinstance(sweep.ask, Local):
                    known[sweep.ask.name] = folded.value[0]
                for i, value in zip(group, folded.value, strict=True):
                    step(i, Folded(value, wanted[i].size, Stop.COMPLETE))
    finally:
        for plan in plans:
            plan.close()
    return results


def _merged(sweeps: list[Sweep]) -> Sweep:
    return replace(max(sweeps, key=lambda sweep: sweep.size), fold=Each(sweeps))
