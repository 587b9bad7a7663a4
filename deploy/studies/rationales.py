"""Do masks find what people marked? Mask optimisation against other methods, on texts with human spans and on photos.

    python deploy/studies rationales --data FOLDER       # `make study-rationales DATA=FOLDER`
    python deploy/studies rationales --help              # what the folder holds

After Brinner & Zarriess, arXiv 2508.11388: on texts, agreement with the spans (AUC-PR, token F1, span IoU F1) beside
sufficiency and comprehensiveness; on photos, the mass in the object's mask beside SRG. All methods explain the
probability of one class of one model, the demo's own. Rows go to CSV files as they are found; the same command goes on
where it was stopped.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rationale_findings
import rationale_maps
import rationale_photos
import rationale_reading
import rationale_scores
import rationale_seeing
import rationale_texts
from laboratory import Laboratory, Room
from progress import Line
from rationale_scores import Row
from running import BUILD, ended
from sidelight.core.sweep import Plan
from table import Table

TEXTS, PHOTOS, PIXELS = 60, 16, 128
SAMPLES, STEPS = 200, 900
PHOTO_SAMPLES, PHOTO_STEPS = 1000, 1500

ABOUT = ("samples", "steps", "method")
TEXT_KEY, PHOTO_KEY = ("text", *ABOUT), ("photo", "pixels", *ABOUT)
TEXT_VALUES = ("class", "probability", "words", *rationale_scores.OF_TEXTS)
PHOTO_VALUES = ("class", "probability", *rationale_scores.OF_PHOTOS)

Keyed = tuple[dict[str, Any], Callable[[], Plan[dict[str, Row]]]]  # which rows, but for the method, and how to get them
Told = list[dict[str, str]]


def filled(room: Room, table: Table, wanted: Sequence[Keyed], methods: Sequence[str], cost: int) -> Told:
    """The rows of the table that are wanted; first those that it lacks are found. cost: about the rows of one item."""
    left = [(key, plan) for key, plan in wanted if not all(key | {"method": m} in table for m in methods)]
    line = Line(len(left) * cost)
    for key, found in room.results(((key, plan()) for key, plan in left), line):
        rows = (key | {"method": method} | row for method, row in found.items())
        table.append(row for row in rows if row not in table)
    line.close()
    rows = (table.get(key | {"method": m}) for key, _ in wanted for m in methods)
    return [row for row in rows if row is not None]


def of_texts(args: argparse.Namespace) -> Told:
    """The rows of the texts in the folder."""
    texts, notes = rationale_texts.of_folder(args.data)
    for note in notes:
        print(note)
    if not texts:
        return []
    table = Table(args.out / "rationale_texts.csv", TEXT_KEY, TEXT_VALUES)
    with rationale_reading.room(args.device) as room:
        chosen, asked = rationale_reading.agreeing(room, texts, args.texts)
        print(
            f"{len(chosen)} texts; of {asked} looked at {asked - len(chosen)} left out, whose label is not the model's"
        )

        def plan(text: rationale_texts.Text) -> Callable[[], Plan]:
            labels = room.spec.labels
            return lambda: rationale_reading.rows(
                rationale_reading.job(room, text.text), text, labels, args.samples, args.steps
            )

        about = {"samples": args.samples, "steps": args.steps}
        wanted = [({"text": text.name, **about}, plan(text)) for text in chosen]
        cost = 3 * args.samples + 1500
        return filled(room, table, wanted, rationale_maps.OF_TEXTS, cost)


def of_photos(args: argparse.Namespace) -> Told:
    """The rows of the photos in the folder."""
    masked = rationale_photos.of_folder(args.data)
    if not masked:
        return []
    table = Table(args.out / "rationale_photos.csv", PHOTO_KEY, PHOTO_VALUES)
    # Gradients are taken in single precision; so are the outputs that they are to add up to.
    with Laboratory(args.pixels, "float32", args.device, twin=True) as lab:
        fitting = [one for one in masked if one.fits(lab.spec.fit)]
        chosen, asked = rationale_seeing.needing(lab, fitting, args.photos)
        print(
            f"{len(chosen)} photos; left out are {len(masked) - len(fitting)} of {len(masked)}, whose object is "
            f"a speck or nearly all, and {asked - len(chosen)} of {asked} looked at, whose class is unsure or needs no "
            "object"
        )

        def plan(one: rationale_photos.Masked) -> Callable[[], Plan]:
            region, labels = one.region(lab.spec.fit), lab.spec.labels
            return lambda: rationale_seeing.rows(
                lab.job(one.photo.image, rationale_seeing.SEED), region, labels, args.photo_samples, args.photo_steps
            )

        about = {"pixels": args.pixels, "samples": args.photo_samples, "steps": args.photo_steps}
        wanted = [({"photo": one.photo.name, **about}, plan(one)) for one in chosen]
        cost = args.photo_samples + 6 * args.photo_steps + 250
        return filled(lab, table, wanted, rationale_maps.OF_PHOTOS, cost)


def run(args: argparse.Namespace) -> None:
    """Measure, then say what was found. Raises ValueError, which teaches the format, without anything to measure."""
    if args.data is None:
        raise ValueError(f"no data: --data FOLDER (make: DATA=FOLDER) with\n{rationale_texts.FORMS}")
    import rationale_plot  # here, since the rest of a study needs no matplotlib

    texts, photos = of_texts(args), of_photos(args)
    if not texts and not photos:
        raise ValueError(f"nothing to measure in {args.data}; it should hold\n{rationale_texts.FORMS}")
    found = rationale_findings.of(texts, photos)
    print(f"\n{found.text}\n")
    print(f"Plot: {rationale_plot.rationales(found, args.out / 'rationales.png')}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="studies rationales", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Hold masks and other maps to what people marked.", epilog=f"FOLDER holds\n{rationale_texts.FORMS}",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="texts with spans, photos with masks, or both")
    for name, default, what in (
        ("texts", TEXTS, "at most so many"), ("photos", PHOTOS, "at most so many"),
        ("pixels", PIXELS, "a side of photos, as the network sees them"),
        ("samples", SAMPLES, "rows of each method that draws them, on a text"),
        ("steps", STEPS, "of a text's mask, at most"), ("photo-samples", PHOTO_SAMPLES, "masks of RISE"),
        ("photo-steps", PHOTO_STEPS, "of a photo's mask, at most"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda (%(default)s)")
    parser.add_argument("--out", type=Path, default=BUILD, help="folder of tables and plot (%(default)s)")
    return ended(run, parser.parse_args())
