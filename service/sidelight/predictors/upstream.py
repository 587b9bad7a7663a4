"""What comes before layers that are substituted: one row of it is enough where none of it reaches the output."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from sidelight.predictors.layers import captured, narrowed, replaced, undisturbed
from sidelight.predictors.listing import SAME, Listing, Samples, like_first

Run = Callable[[nn.Module, Any], torch.Tensor]


class Upstream:
    """Finds, once for each set of layers, the submodules that may run on one row.

    A set may be a cut without the code allowing it, so it is tried; for images on rows with different inputs. The mask
    of a text passes every layer by, and so rows have to be alike there.
    """

    def __init__(self, run: Run, listing: Listing, samples: Callable[[], Samples], *, alike: bool) -> None:
        self._run, self._listing, self._samples, self._alike = run, listing, samples, alike
        self._found: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, module: nn.Module, put: tuple[str, ...]) -> tuple[str, ...]:
        """The outermost submodules that are through before `put`, and these themselves; none where all rows count."""
        if put not in self._found:
            before = (*self._listing.before(put), *put)
            self._found[put] = before if self._same(module, put, before) else ()
        return self._found[put]

    def _same(self, module: nn.Module, put: tuple[str, ...], before: Sequence[str]) -> bool:
        pair = self._samples().pair
        if pair is None:  # only so many rows at a time
            return False
        rows = pair(2)
        x = _first(rows, 3) if self._alike else rows
        try:
            with undisturbed(module), torch.no_grad():
                with captured(module, put) as seen:
                    y = self._run(module, rows)
                if like_first(y)[1]:  # saturated: whatever is put there, the output would be the same
                    return False
                values = {name: value.roll(1, 0) for name, value in seen.items()}
                with replaced(module, values):
                    full = self._run(module, x)
                with narrowed(module, before, self._listing.repeated, len(x)), replaced(module, values):
                    one = self._run(module, _first(x, 3))
        except Exception:  # noqa: BLE001 - somebody else's network may raise anything; then all rows run
            return False
        return full.shape == one.shape and bool((full - one).abs().max() <= SAME * full.abs().max())


def _first(rows: torch.Tensor | list[str], times: int) -> torch.Tensor | list[str]:
    """The first row, so many times; shown, not copied."""
    return rows[:1] * times if isinstance(rows, list) else rows[:1].expand(times, *rows.shape[1:])
