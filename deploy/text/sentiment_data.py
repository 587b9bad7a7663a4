"""Rated snippets of film reviews (Hutto & Gilbert, ICWSM 2014), split once and for all into three parts.

They are in the source distribution of vaderSentiment 0.5 (MIT), which is fetched through pip and checked against its
SHA-256. At least 20 people rated each snippet from -4 (extremely negative) to 4 (extremely positive).
"""

import dataclasses
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "vaderSentiment==0.5 --hash=sha256:5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
ARCHIVE = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
HELD_OUT, VALIDATION = 8, 4  # of 40: a fifth is never trained on, a tenth is to watch training by


@dataclass(frozen=True)
class Snippet:
    """A text with the mean of its ratings, -4..4."""

    text: str
    rating: float

    @property
    def positive(self) -> bool:
        return self.rating > 0


@dataclass(frozen=True)
class Parts:
    """No text of one part is in another, in whatever capitals and punctuation."""

    training: tuple[Snippet, ...]
    validation: tuple[Snippet, ...]
    held_out: tuple[Snippet, ...]


def fetch(folder: Path) -> Path:
    """The source distribution in `folder`; fetched where it is not there yet. Raises CalledProcessError."""
    found = folder / "vaderSentiment-0.5.zip"
    if not found.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write(PACKAGE + "\n")
            requirements.flush()
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
            options = ["--no-binary", ":all:", "--no-build-isolation", "--require-hashes", "-r", requirements.name]
            subprocess.run([*pip, *options, "--dest", str(folder)], check=True)
    return found


def read(distribution: Path) -> Parts:
    """The snippets that have a sign (37 of 10 605 are rated 0), each text once."""
    with zipfile.ZipFile(distribution) as outer, tarfile.open(fileobj=io.BytesIO(outer.read(ARCHIVE))) as inner:
        member = inner.extractfile(MEMBER)
        assert member is not None  # a file
        lines = member.read().decode("utf-8").split("\r\n")
    snippets: dict[str, Snippet] = {}
    for line in filter(None, lines):
        _, rating, text = line.split("\t")
        snippets.setdefault(plain(text), Snippet(text.strip(), float(rating)))
    signed = {key: snippet for key, snippet in snippets.items() if snippet.rating != 0}
    names = (field.name for field in dataclasses.fields(Parts))
    return Parts(*(tuple(s for key, s in signed.items() if part(key) == name) for name in names))


def plain(text: str) -> str:
    """The words of a text, for telling whether two are the same."""
    return re.sub(r"\W+", " ", text.lower()).strip()


def part(key: str) -> str:
    """The part of a snippet, by its text (as `plain` has it) alone, so that no later choice can move it to another."""
    place = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 40
    return "held_out" if place < HELD_OUT else "validation" if place < HELD_OUT + VALIDATION else "training"
