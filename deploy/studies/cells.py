"""The cross: segmentation x smoothing x sampler x calculator x map x samples, without what does not go together."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum

from sidelight.core.errors import InvalidRequest
from sidelight.core.job import Job
from sidelight.perturbation.combination import Combination, check
from sidelight.perturbation.options import Calculator, MapType, Sampler, Segmentation, Smoothing

SEGMENTS = 49
ONE_BY_ONE = (Sampler.ONE_OFF, Sampler.ONE_ON)  # their number of rows is that of the segments
RANDOM = (Sampler.BERNOULLI, Sampler.RATE, Sampler.ANTITHETIC, Sampler.KERNEL_PAIRS, Sampler.ORTHOGONAL)


@dataclass(frozen=True)
class Cell:
    """One combination. `samples` is 0 where the sampler has as many rows as there are segments."""

    segmentation: Segmentation
    smoothing: Smoothing
    sampler: Sampler
    calculator: Calculator
    map_type: MapType
    samples: int

    def combination(self) -> Combination:
        """As the service knows it."""
        given = {f.name: getattr(self, f.name) for f in fields(self)} | {"samples": self.samples or 2}
        return Combination("study", segments=SEGMENTS, **given)

    def named(self) -> dict[str, str | int]:
        """The choices by their names."""
        return {k: v.value if isinstance(v, Enum) else v for k, v in asdict(self).items()}

    @property
    def rows(self) -> tuple[Smoothing, Sampler]:
        """What the masks depend on, beside segmentation: cells of equal `rows` are asked about together."""
        return self.smoothing, self.sampler


@dataclass(frozen=True)
class Cross:
    """The levels of every factor."""

    samplers: tuple[Sampler, ...]
    calculators: tuple[Calculator, ...]
    samples: tuple[int, ...]
    segmentations: tuple[Segmentation, ...] = (
        Segmentation.GRID, Segmentation.SLIC, Segmentation.FELZENSZWALB, Segmentation.QUICKSHIFT,
        Segmentation.WATERSHED,
    )  # fmt: skip
    smoothings: tuple[Smoothing, ...] = (
        Smoothing.NONE, Smoothing.BILINEAR, Smoothing.GAUSSIAN, Smoothing.RANDOM_SHIFT,
    )  # fmt: skip

    def cells(self, job: Job) -> list[Cell]:
        """All cells that the service would accept for `job`."""
        free = itertools.product(
            self.segmentations, self.smoothings, self.samplers, self.calculators, MapType, self.samples
        )
        cells = (Cell(*f[:5], 0) if f[2] in ONE_BY_ONE else Cell(*f) for f in free)
        return [cell for cell in dict.fromkeys(cells) if _legal(cell, job)]


DEFAULT = Cross(
    (Sampler.BERNOULLI, Sampler.ONE_OFF, Sampler.ONE_ON),
    (Calculator.RISE, Calculator.LIME, Calculator.SHAP, Calculator.PDA, Calculator.CIU, Calculator.INVERSE_CIU),
    (400,),
)
FULL = Cross(tuple(Sampler), tuple(Calculator), (400, 4000, 8000))


def units(cells: Iterable[Cell]) -> dict[tuple[Segmentation, Sampler], list[Cell]]:
    """Cells that are done together, so that no more is lost when the study is stopped."""
    found: dict[tuple[Segmentation, Sampler], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.segmentation, cell.sampler), []).append(cell)
    return found


def evaluations(cells: Sequence[Cell], rows_of_a_map: int) -> int:
    """About how many rows these cells take: those of the masks, and those that measure the maps."""
    longest: dict[object, int] = {}
    for cell in cells:
        longest[cell.rows] = max(longest.get(cell.rows, 0), cell.samples or SEGMENTS)
    # The calculators rank units alike where they are taken one by one, and without smoothing both maps are one.
    alike = {
        (cell.rows, cell.samples, cell.sampler in ONE_BY_ONE or cell.calculator,
         cell.smoothing is Smoothing.NONE or cell.map_type)
        for cell in cells
    }  # fmt: skip
    return sum(longest.values()) + rows_of_a_map * len(alike)


def _legal(cell: Cell, job: Job) -> bool:
    try:
        check(cell.combination(), job)
    except InvalidRequest:
        return False
    return True
