"""When a mask has settled: rules over the mean of lambda, told step by step."""

from collections.abc import Callable
from typing import Protocol

from sidelight.core.job import HALF
from sidelight.masks.options import Options, Rule

MEMORY = 0.95  # of the smoothed decrease, a step


class Stopping(Protocol):
    """The rule of one mask."""

    def settled(self, step: int, mean: float) -> bool:
        """Whether it has, mean lambda being this at `step`. Called once for each step, in order, from 0."""


class Decrease:
    """The smoothed decrease of mean lambda a step is below `settled`, and mean lambda below a half.

    e_0 = 1 - m_0;   e_n = .95 e_{n-1} + .05 (m_{n-1} - m_n)            as the authors' code has it
    """

    def __init__(self, options: Options) -> None:
        self._least, self._bound = options.least_steps, options.settled
        self._mean = 1.0
        self._smoothed: float | None = None

    def settled(self, step: int, mean: float) -> bool:
        decrease, self._mean = self._mean - mean, mean
        before = decrease if self._smoothed is None else self._smoothed
        self._smoothed = MEMORY * before + (1 - MEMORY) * decrease
        return step >= self._least and self._smoothed < self._bound and mean < HALF


class Periodic:
    """Mean lambda has moved by less than `settled` since the last look."""

    def __init__(self, options: Options) -> None:
        self._least, self._every, self._bound = options.least_steps, options.every, options.settled
        self._seen: float | None = None

    def settled(self, step: int, mean: float) -> bool:
        if step % self._every:
            return False
        seen, self._seen = self._seen, mean
        return seen is not None and step >= self._least and abs(mean - seen) < self._bound


class Never:
    """All steps are wanted."""

    def __init__(self, options: Options) -> None:
        pass

    def settled(self, step: int, mean: float) -> bool:
        return False


RULES: dict[Rule, Callable[[Options], Stopping]] = {Rule.DECREASE: Decrease, Rule.PERIODIC: Periodic, Rule.NEVER: Never}


def stopping(options: Options) -> Stopping:
    """The rule that is asked for, for one mask."""
    return RULES[options.rule](options)
