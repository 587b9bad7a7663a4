"""I.i.d. blocks of rows, summed into groups, and the jackknife over groups: standard errors for any design.

Rows of a design depend on each other, so their spread says nothing; that of whole blocks does. (Over the rows of a
fold-over design on an additive game it says .32, where the truth is 0.)
"""

from collections.abc import Iterator

import torch

from sidelight.perturbation.calculators import Calculator, Sums
from sidelight.perturbation.precision import MIN_BLOCKS, students

GROUPS = 64  # at most; 32 to 64 of them tell an error to about 10 %
FEWEST = 16  # groups at most, where sums are large
ROOM = 2**23  # numbers (64 MiB) that all groups together may hold, unless so few need more
MIN_EVIDENCE = 8  # rows for each number of a fit: fewer inflate the jackknife, and complements count half
UNENDING = 2**62


class Blocks:
    """Sums of whole blocks, in row order. When there are too many groups, neighbours are merged: they stay equal.

    Attributes are replaced, never changed in place, so a reader on another thread sees a state that was.
    """

    def __init__(self, calculator: Calculator, block: int, units: int) -> None:
        """`block` is the sampler's; 0, where rows have no i.i.d. structure, makes one group of all."""
        self.calculator = calculator
        self.groups: tuple[tuple[int, Sums], ...] = ()  # blocks in it, their sums
        self.open: tuple[int, Sums] | None = None  # rows of an unfinished block, their sums
        self.rest: tuple[torch.Tensor, torch.Tensor] | None = None  # rows that only make sense with those to come
        self._together = calculator.together(units)
        self._block = block or self._together
        self._independent = block > 0
        self._size = 1 if self._independent else UNENDING  # blocks of a full group

    @property
    def whole(self) -> int:
        """Rows in whole blocks."""
        return self._block * sum(n for n, _ in self.groups)

    def add(self, z: torch.Tensor, y: torch.Tensor) -> None:
        """The next rows: z [k, M], y [k, T], float64."""
        if self.rest is not None:
            z, y = torch.cat([self.rest[0], z]), torch.cat([self.rest[1], y])
        end = len(z) // self._together * self._together
        self.rest = (z[end:], y[end:]) if end < len(z) else None
        at = 0
        while at < end:
            done = 0 if self.open is None else self.open[0]
            if done or end - at < self._block:
                take = min(self._block - done, end - at)
                self._continue(done + take, self._observe(z[at : at + take], y[at : at + take], 1))
            else:
                blocks, groups = self._room((end - at) // self._block)
                take = blocks * self._block
                self._join(blocks // groups, self._observe(z[at : at + take], y[at : at + take], groups))
            at += take

    def _observe(self, z: torch.Tensor, y: torch.Tensor, groups: int) -> list[Sums]:
        sums = self.calculator.observe(z.unflatten(0, (groups, -1)), y.unflatten(0, (groups, -1)))
        return list(zip(*(s.unbind() for s in sums), strict=True))

    def _continue(self, rows: int, sums: list[Sums]) -> None:
        """The unfinished block has got to so many rows; with the last one it is whole."""
        total = sums[0] if self.open is None else _plus(self.open[1], sums[0])
        self.open = (rows, total) if rows < self._block else None
        if self.open is None:
            self._room(1)
            self._join(1, [total])

    def _room(self, blocks: int) -> tuple[int, int]:
        """How many of so many blocks fit in the groups as they are, and how many groups they make."""
        if self.groups and self.groups[-1][0] < self._size:
            return min(self._size - self.groups[-1][0], blocks), 1
        if len(self.groups) == self._limit():
            merged = zip(self.groups[::2], self.groups[1::2], strict=True)
            self.groups = tuple((a + b, _plus(s, t)) for (a, s), (b, t) in merged)
            self._size *= 2
        groups = min(blocks // self._size, self._limit() - len(self.groups))
        return (groups * self._size, groups) if groups else (blocks, 1)

    def _limit(self) -> int:
        """How many groups there may be: an even number, but one before the size of their sums is known."""
        if not self.groups:
            return 1
        room = ROOM // sum(s.numel() for s in self.groups[0][1])
        return min(max(room // 2 * 2, FEWEST), GROUPS)

    def _join(self, blocks: int, sums: list[Sums]) -> None:
        """So many blocks for each of `sums`, in a group that has room or in new ones."""
        if self.groups and self.groups[-1][0] < self._size:
            n, last = self.groups[-1]
            self.groups = (*self.groups[:-1], (n + blocks, _plus(last, sums[0])))
        else:
            self.groups = (*self.groups, *((blocks, s) for s in sums))

    def scores(self, ends: torch.Tensor) -> torch.Tensor | None:
        """a [T, M] of all rows so far, those of an unfinished block as well; None of no row that makes sense alone."""
        unfinished = self.open
        parts = [s for _, s in self.groups] + ([unfinished[1]] if unfinished else [])
        return self.calculator.solve(_total(parts), ends) if parts else None

    def deviations(self, ends: torch.Tensor) -> torch.Tensor | None:
        """d [g, T, M], one for each group, such that sum_g d_g^2 estimates the variance of a; None of too few rows.

        Delete-one-group jackknife for groups of unequal size (Busing, Meijer & van der Leeden 1999): with h = n / m
        the pseudo-values p = h a - (h - 1) a_(-g) have the variance 1/G sum_g (p_g - p)^2 / (h_g - 1). It is widened
        by `students`.
        """
        groups = self.groups
        n = sum(m for m, _ in groups)
        if not self._independent or n < MIN_BLOCKS:
            return None
        total = _total([s for _, s in groups])
        if not self.calculator.evidence(total, self._block * n) >= MIN_EVIDENCE:  # nan where all weights are 0
            return None
        a = self.calculator.solve(total, ends)
        without = torch.cat([self.calculator.solve(left, ends) for left in _left_out(total, [s for _, s in groups])])
        h = torch.tensor([n / m for m, _ in groups], dtype=a.dtype).view(-1, 1, 1)
        pseudo = h * a - (h - 1) * without
        return (pseudo - (pseudo / h).sum(0)) / (len(groups) * (h - 1)).sqrt() * students(len(groups))


def _plus(a: Sums, b: Sums) -> Sums:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _total(parts: list[Sums]) -> Sums:
    return tuple(torch.stack(s).sum(0) for s in zip(*parts, strict=True))


def _left_out(total: Sums, parts: list[Sums]) -> Iterator[Sums]:
    """The total less each part, several parts stacked at a time."""
    stride = max(1, ROOM // sum(s.numel() for s in total))
    for i in range(0, len(parts), stride):
        yield tuple(t - torch.stack(s) for t, s in zip(total, zip(*parts[i : i + stride], strict=True), strict=True))
