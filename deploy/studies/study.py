"""The study: which choice decides the quality of a perturbation map? Every legal combination, on real photos.

    python deploy/studies study                      # `make study`: minutes
    python deploy/studies study --full               # `make study FULL=1`: every sampler, calculator and size
    python deploy/studies study --data FOLDER        # `make study DATA=FOLDER`: one's own photos

After Grund Pihlgren & Framling, "Segmentation and Smoothing Affect Explanation Quality More Than the Choice of
Perturbation-based XAI Method", arXiv 2409.04116. Rows go to a CSV file as they are found; the same command goes on
where it was stopped.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import cells
import findings
import quality
from cells import SEGMENTS, Cell
from laboratory import Laboratory, opened
from photos import Photo
from progress import Line
from running import chosen_photos, main_of, precision_of
from sharing import sharing
from sidelight.core.errors import InvalidRequest
from sidelight.core.job import Job
from sidelight.core.sweep import Plan
from sidelight.core.target import Link
from sidelight.perturbation.options import Calculator, Sampler, Segmentation, Smoothing
from sidelight.perturbation.perturb import perturb
from table import Table

PIXELS, FULL_PIXELS = 160, 224
PHOTOS = 20
SEED = 1
KEY = ("photo", "pixels", "precision", "segmentation", "smoothing", "sampler", "calculator", "map_type", "samples")
VALUES = ("photograph", "class", "score", "segments", "srg", "lif", "mif", "insertion", "deletion")

LEVELS = {"segmentations": Segmentation, "smoothings": Smoothing, "samplers": Sampler, "calculators": Calculator,
          "samples": int}  # fmt: skip

Row = dict[str, Any]


def explained(job: Job, wanted: Sequence[Cell], known: dict[str, Any], labels: Sequence[str]) -> Plan[list[Row] | str]:
    """The rows of the table for these cells of one photo, or why there are none."""
    try:
        return (yield from _explained(job, wanted, known, labels))
    except InvalidRequest as error:  # a photo that cannot be cut, say: the others are worth having all the same
        return f"{error.field}: {error.mend}"


def _explained(job: Job, wanted: Sequence[Cell], known: dict[str, Any], labels: Sequence[str]) -> Plan[list[Row]]:
    (job,), y = yield from opened(job, Link.PROBABILITY)
    found = yield from sharing([perturb(job, c.combination()) for c in wanted], [c.rows for c in wanted], known)
    qualities = yield from quality.measured(job, [one.maps for one in found])
    score, best = float(job.target.score(y)[0, 0]), job.target.classes[0]
    return [
        cell.named()
        | asdict(q)
        | {
            "class": labels[best],
            "score": score,
            "segments": one.segments.scores.shape[1] if one.segments else SEGMENTS,
        }
        for cell, one, q in zip(wanted, found, qualities, strict=True)
    ]


def measure(lab: Laboratory, photos: Sequence[Photo], legal: Sequence[Cell], table: Table) -> float:
    """Fill the table with what it lacks; the seconds that took."""
    work = [
        (photo, wanted)
        for photo in photos
        for wanted in cells.units(legal).values()
        if not all(lab.named(photo.name) | cell.named() in table for cell in wanted)
    ]
    line = Line(sum(cells.evaluations(wanted, quality.ROWS) for _, wanted in work))

    def plans() -> Iterator[tuple[Photo, Plan]]:
        known: dict[tuple[str, Segmentation], dict[str, Any]] = {}  # segments that were cut, of each photo
        for photo, wanted in work:
            cut = known.setdefault((photo.name, wanted[0].segmentation), {})
            yield photo, explained(lab.job(photo.image, SEED), wanted, cut, lab.spec.labels)

    for photo, rows in lab.results(plans(), line):
        if isinstance(rows, str):
            print(f"left out: {photo.name}, {rows}")
            continue
        made = (lab.named(photo.name) | {"photograph": photo.photograph} | row for row in rows)
        table.append(row for row in made if row not in table)
    return line.close()


def run(args: argparse.Namespace) -> None:
    """Measure, then say what was found."""
    import plot  # here, since the rest of a study needs no matplotlib

    table = Table(args.out / "study.csv", KEY, VALUES)
    pixels = args.pixels or (FULL_PIXELS if args.full else PIXELS)
    chosen = {name: tuple(levels) for name in LEVELS if (levels := getattr(args, name))}
    cross = replace(cells.FULL if args.full else cells.DEFAULT, **chosen)
    photos = chosen_photos(args.data, pixels, args.photos)
    with Laboratory(pixels, precision_of(table, pixels, args.precision), args.device) as lab:
        wanted = cross.cells(lab.job(photos[0].image, SEED))
        print(
            f"{len(photos)} photos x {len(wanted)} combinations; {lab.predictor.endpoint.address}; rows in {table.path}"
        )
        seconds = measure(lab, photos, wanted, table)
        rows = [table.get(lab.named(p.name) | c.named()) for p in photos for c in wanted]
    found = findings.of([row for row in rows if row])
    print(f"\nMeasured in {seconds / 60:.1f} minutes.\n\n{found.text}\n")
    print(f"Plot: {plot.study(found, args.out / 'study.png')}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="studies study", description="Cross the choices of the perturbation family.")
    for name, kind in LEVELS.items():
        parser.add_argument(f"--{name}", nargs="+", type=kind, metavar="LEVEL", help="these levels only")
    parser.add_argument("--full", action="store_true", help="every sampler, calculator and number of samples: days")
    return main_of(parser, run, PHOTOS)
