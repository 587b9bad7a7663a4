"""What a better sampler saves: the error of a map by number of evaluations, and its quality beside Sobol and HSIC.

    python deploy/studies samplers                      # `make study-samplers`: minutes
    python deploy/studies samplers --data FOLDER        # `make study-samplers DATA=FOLDER`: one's own photos

Error is the mean square of the difference from a converged map that was drawn apart, over as many runs as the rows
allow, less the converged map's own squared standard error, which that difference contains. Masks are a 7 x 7 grid with
Gaussian edges throughout. Rows go to CSV files as they are found; the same command goes on where it was stopped.
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import economy
import quality
from laboratory import Laboratory, opened
from photos import Photo
from progress import Line
from running import chosen_photos, main_of, precision_of
from sharing import sharing
from sidelight.core.job import Job, Saliency
from sidelight.core.stream import Stream
from sidelight.core.sweep import Plan, together
from sidelight.core.target import Link
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.hadamard import order_for
from sidelight.perturbation.options import Calculator, MapType, Sampler, Segmentation, Smoothing
from sidelight.perturbation.perturb import perturb
from table import Table
from windows import Runs, windows

PIXELS, PHOTOS = 128, 20
SHAPLEY_PHOTOS = 4  # SHAP takes rows of its own
SEED, CONVERGED_SEED = 1, 2
PLAIN = 4000  # evaluations of plain sampling whose error is to be reached
REPLICATE = 2 * order_for(49)  # rows of an orthogonal design of so many units
LENGTHS = tuple(REPLICATE * n for n in (1, 2, 3, 4, 6, 9, 12, 18, 24, 36))  # of runs, in evaluations
CONVERGED = 30 * REPLICATE
EQUAL = (4 * REPLICATE, 9 * REPLICATE)  # evaluations at which quality is compared
LINKS = (Link.PROBABILITY, Link.LOGIT)

ERROR_KEY = ("photo", "pixels", "precision", "link", "calculator", "sampler", "evaluations")
ERROR_VALUES = (
    "runs", "error_units", "own_error_units", "variance_units", "error_pixels", "own_error_pixels", "variance_pixels",
)  # fmt: skip
QUALITY_KEY = ("photo", "pixels", "precision", "method", "evaluations")
QUALITY_VALUES = ("srg", "lif", "mif", "insertion", "deletion")

Row = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """Calculators that agree on what a map converges to, whatever these samplers; and the sampler of that map."""

    calculators: tuple[Calculator, ...]
    samplers: tuple[Sampler, ...]
    converged: Sampler


MEANS = Family(
    (Calculator.RISE, Calculator.LIME), (Sampler.BERNOULLI, Sampler.ANTITHETIC, Sampler.ORTHOGONAL), Sampler.ORTHOGONAL
)
SHAPLEY = Family(
    (Calculator.SHAP,),
    (Sampler.BERNOULLI, Sampler.RATE, Sampler.ORTHOGONAL, Sampler.KERNEL_PAIRS),
    Sampler.KERNEL_PAIRS,
)
RISE = {"rise, bernoulli": Sampler.BERNOULLI, "rise, orthogonal": Sampler.ORTHOGONAL}
OTHERS = {
    "sobol": (Calculator.SOBOL, Sampler.SOBOL_PAIRS),
    "hsic": (Calculator.HSIC, Sampler.SPACE_FILLING),
}


def combination(calculator: Calculator, sampler: Sampler, samples: int) -> Combination:
    """On a 7 x 7 grid with Gaussian edges, per pixel."""
    return Combination(
        "samplers", Segmentation.GRID, smoothing=Smoothing.GAUSSIAN, sampler=sampler, samples=samples,
        calculator=calculator, map_type=MapType.PER_PIXEL,
    )  # fmt: skip


ROWS = {  # drawn by each sampler: several runs of the lengths that matter
    Sampler.BERNOULLI: 2 * PLAIN,
    Sampler.ORTHOGONAL: 36 * REPLICATE,
    Sampler.ANTITHETIC: 18 * REPLICATE,
    Sampler.RATE: 18 * REPLICATE,
    Sampler.KERNEL_PAIRS: 18 * REPLICATE,
}


def lengths_of(sampler: Sampler) -> tuple[int, ...]:
    """Of the runs whose error is taken, in evaluations."""
    plain = (PLAIN,) if sampler is Sampler.BERNOULLI else ()
    return (*(n for n in LENGTHS if n <= ROWS[sampler] and (not plain or n < PLAIN)), *plain)


@dataclass(frozen=True)
class Part:
    """What is asked about one photo: its rows of masks serve every calculator, link and number of evaluations."""

    photo: Photo
    families: tuple[Family, ...]

    @property
    def series(self) -> dict[Sampler, list[tuple[Link, Calculator]]]:
        """What is made of each sampler's rows."""
        found: dict[Sampler, list[tuple[Link, Calculator]]] = {}
        for family, sampler in ((f, s) for f in self.families for s in f.samplers):
            found.setdefault(sampler, []).extend(itertools.product(LINKS, family.calculators))
        return found

    @property
    def evaluations(self) -> int:
        """About how many rows it takes."""
        drawn = sum(ROWS[sampler] for sampler in self.series) + CONVERGED * len(self.families)
        return drawn + len(OTHERS) * EQUAL[-1] + quality.ROWS * len(EQUAL) * len(RISE | OTHERS)

    def errors(self) -> list[Row]:
        """Which rows it has in the table of errors."""
        return [
            _series(link, calculator, sampler, n)
            for sampler, made in self.series.items()
            for link, calculator in made
            for n in lengths_of(sampler)
        ]

    def qualities(self) -> list[Row]:
        """Which rows it has in the table of qualities."""
        return [{"method": method, "evaluations": n} for method in RISE | OTHERS for n in EQUAL]


def explained(job: Job, part: Part) -> Plan[tuple[list[Row], list[Row]]]:
    """Rows of the table of errors and of that of qualities, in the order of `errors` and of `qualities`."""
    jobs, _ = yield from opened(job, *LINKS)
    by_link = dict(zip(LINKS, jobs, strict=True))
    apart = {link: replace(j, stream=Stream(CONVERGED_SEED)) for link, j in by_link.items()}
    goals = [list(itertools.product(LINKS, family.calculators)) for family in part.families]
    plans = [
        sharing([perturb(apart[k], combination(c, family.converged, CONVERGED)) for k, c in made], [family] * len(made))
        for family, made in zip(part.families, goals, strict=True)
    ]
    plans += [
        windows([perturb(by_link[link], combination(c, s, ROWS[s])) for link, c in made], lengths_of(s))
        for s, made in part.series.items()
    ]
    others = [(*made, n) for made in OTHERS.values() for n in EQUAL]
    plans.append(sharing([perturb(jobs[0], combination(*other)) for other in others], [s for _, s, _ in others]))
    found = yield from together(*plans)
    converged = {
        key: goal for made, by_key in zip(goals, found, strict=False) for key, goal in zip(made, by_key, strict=True)
    }
    runs = {
        (sampler, *key): dict(zip(lengths_of(sampler), by_length, strict=True))
        for (sampler, made), by_key in zip(part.series.items(), found[len(goals) : -1], strict=True)
        for key, by_length in zip(made, by_key, strict=True)
    }
    errors = [
        _series(link, calculator, sampler, n) | _error(of_length, converged[link, calculator])
        for (sampler, link, calculator), by_length in runs.items()
        for n, of_length in by_length.items()
    ]
    ours = [runs[sampler, LINKS[0], Calculator.RISE][n].pixels[:1] for sampler in RISE.values() for n in EQUAL]
    measured = yield from quality.measured(jobs[0], [*ours, *(other.maps for other in found[-1])])
    return errors, [key | asdict(q) for key, q in zip(part.qualities(), measured, strict=True)]


def _series(link: Link, calculator: Calculator, sampler: Sampler, evaluations: int) -> Row:
    return {
        "link": link.value, "calculator": calculator.value, "sampler": sampler.value, "evaluations": evaluations
    }  # fmt: skip


def _error(runs: Runs, converged: Saliency) -> Row:
    """Of scores and maps: mean squared error over runs, the converged one's own, and its variance over places."""
    if converged.segments is None or converged.segments.standard_error is None or converged.standard_error is None:
        raise ValueError("a converged map without a standard error")
    row: Row = {"runs": len(runs.units)}
    for name, found, goal, error in (
        ("units", runs.units, converged.segments.scores[0], converged.segments.standard_error[0]),
        ("pixels", runs.pixels, converged.maps[0], converged.standard_error[0]),
    ):
        own = float(error.square().mean())
        row |= {f"error_{name}": float((found - goal).square().mean()) - own, f"own_error_{name}": own}
        row[f"variance_{name}"] = float(goal.var())
    return row


def measure(lab: Laboratory, wanted: Sequence[Part], error_table: Table, quality_table: Table) -> float:
    """Fill the tables with what they lack; the seconds that took."""

    def missing(part: Part) -> bool:
        named = lab.named(part.photo.name)
        return not all(
            named | key in table
            for table, keys in ((error_table, part.errors()), (quality_table, part.qualities()))
            for key in keys
        )

    left = [part for part in wanted if missing(part)]
    line = Line(sum(part.evaluations for part in left))
    plans = ((part.photo, explained(lab.job(part.photo.image, SEED), part)) for part in left)
    for photo, found in lab.results(plans, line):
        named = lab.named(photo.name)
        for table, rows in zip((error_table, quality_table), found, strict=True):
            table.append(row for row in (named | row for row in rows) if row not in table)
    return line.close()


def run(args: argparse.Namespace) -> None:
    """Measure, then say what was found."""
    import plot  # here, since the rest of a study needs no matplotlib

    error_table = Table(args.out / "samplers_error.csv", ERROR_KEY, ERROR_VALUES)
    quality_table = Table(args.out / "samplers_quality.csv", QUALITY_KEY, QUALITY_VALUES)
    pixels = args.pixels or PIXELS
    photos = chosen_photos(args.data, pixels, args.photos)
    parts = [Part(p, (MEANS, SHAPLEY) if i < SHAPLEY_PHOTOS else (MEANS,)) for i, p in enumerate(photos)]
    with Laboratory(pixels, precision_of(error_table, pixels, args.precision), args.device) as lab:
        print(f"{lab.predictor.endpoint.address}; rows in {error_table.path} and {quality_table.path}")
        seconds = measure(lab, parts, error_table, quality_table)
        errors = [error_table.get(lab.named(p.photo.name) | key) for p in parts for key in p.errors()]
        qualities = [quality_table.get(lab.named(p.photo.name) | key) for p in parts for key in p.qualities()]
    found = economy.of([row for row in errors if row], [row for row in qualities if row], PLAIN)
    print(f"\nMeasured in {seconds / 60:.1f} minutes.\n\n{found.text}\n")
    print(f"Plot: {plot.samplers(found, args.out / 'samplers.png')}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="studies samplers", description="Compare samplers by error and by quality.")
    return main_of(parser, run, PHOTOS)
