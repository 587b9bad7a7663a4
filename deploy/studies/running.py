"""What the studies' commands have in common: arguments, photos, and an end by Ctrl-C that loses nothing."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import photos
from photos import Photo
from sidelight.core.errors import SidelightError
from table import Table

BUILD = Path(__file__).resolve().parents[2] / "build" / "study"
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def chosen_photos(folder: Path | None, pixels: int, count: int | None) -> list[Photo]:
    """Those in `folder`, or crops of those in packages; what was chosen is told."""
    if folder is not None:
        found, agreement = photos.of_folder(folder, pixels, count)
        what = f"{len(found)} photos of {folder}"
    else:
        found, agreement = photos.of_packages(pixels, count)
        what = f"{len(found)} crops of {len({p.photograph for p in found})} photographs that come with packages"
    print(
        f"{what}. At {pixels} pixels the network calls {agreement.same} of {agreement.of} what it calls them at its "
        f"own size, of those that it is at least {100 * photos.SURE:.0f} % sure of there."
    )
    return found


def precision_of(table: Table, pixels: int, wanted: str) -> str:
    """What an earlier run at this size computed in, so that its rows count, unless another is wanted."""
    if wanted == "auto":
        return next((row["precision"] for row in table.rows.values() if row["pixels"] == str(pixels)), wanted)
    return wanted


def main_of(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None], count: int) -> int:
    """Parse, run; 130 after Ctrl-C or SIGTERM, 1 where it cannot run."""
    parser.add_argument("--data", type=Path, help="a folder of photos (all of them, but for --photos)")
    parser.add_argument("--photos", type=int, help=f"at most so many ({count} of those in packages)")
    parser.add_argument("--pixels", type=int, help="a side of what the network sees")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto: what is fastest here")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda (%(default)s)")
    parser.add_argument("--out", type=Path, default=BUILD, help="folder of table and plot (%(default)s)")
    args = parser.parse_args()
    args.photos = args.photos or (None if args.data else count)
    return ended(run, args)


def ended(run: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """Run; 130 after Ctrl-C or SIGTERM, 1 where it cannot run."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a file or a pipe gets lines as they come
    try:
        run(args)
    except KeyboardInterrupt:
        print(f"\nStopped. What was found is in {args.out}: the same command goes on from there.", file=sys.stderr)
        return 130
    except (OSError, ValueError, SidelightError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
