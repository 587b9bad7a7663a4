"""Texts in which people marked what counts, from files in their public forms (`FORMS`)."""

import ast
import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidelight.core.inputs import words
from sidelight.core.predictor import Unit
from sidelight.metrics.spans import touched

FORMS = """\
texts, in FOLDER itself (each also as .gz):
  *.jsonl   {"text": "a fine film", "spans": [[2, 6]], "label": "positive"} a line: characters [begin, end), and the
            text's class by the model's name of it (without a label: the class that the model finds)
  *.csv     columns spans ("[2, 3, 4, 5]", every character) and text, as the Toxic Spans data have them; or with label
  *.txt     trees of the Stanford Sentiment Treebank, "(3 (2 It) (4 ...))" a line: a span is a largest phrase of at most
            half of the sentence that is labelled as the sentence's own extreme (0 or 4); neutral sentences are left out
photos:
  photos/NAME.jpg (or images/, or beside masks/) with masks/NAME.png, which is 0 where the object is not"""

EXTREMES = {"0": "0", "1": "0", "3": "4", "4": "4"}  # of a sentence's polarity
CLASSES = {"0": "negative", "4": "positive"}
TOXIC = "negative"  # what the demo's model has that is nearest to it
ESCAPES = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "\\/": "/", "\\*": "*"}  # of the treebank
MOST_WORDS = 150  # so that no model cuts a text, and regressions have few unknowns


@dataclass(frozen=True)
class Text:
    """A text, what people marked in it, and its class by name, where that is known."""

    text: str
    spans: tuple[Unit, ...]
    label: str | None = None

    @property
    def name(self) -> str:
        """A digest: tables hold numbers, and nobody's sentences."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def fits(self) -> bool:
        """Whether it has words that are marked and others that are not, and not too many."""
        units = words(self.text)
        marked = {w for i, j in touched(self.spans, units) for w in range(i, j)}
        return 0 < len(marked) < len(units) <= MOST_WORDS


def of_folder(folder: Path) -> tuple[list[Text], list[str]]:
    """The texts that fit, in an order that has nothing to do with files, and what is to be told of the rest.

    Raises FileNotFoundError where there is no folder, and ValueError naming file and line for what cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; a study needs\n{FORMS}")
    found, notes = [], []
    for path in sorted(folder.iterdir()):
        read = READERS.get(Path(path.name.removesuffix(".gz")).suffix)
        if read is None or not path.is_file():
            continue
        texts = list(read(path))
        notes += [] if texts else [f"{path.name} holds none of the forms, and is left out"]
        found += texts
    unlike = {text.name: text for text in found}  # a text that is there twice counts once
    fitting = [unlike[name] for name in sorted(unlike) if unlike[name].fits]
    if len(fitting) < len(unlike):
        left = len(unlike) - len(fitting)
        notes.append(f"{left} of {len(unlike)} texts have no marked word, no other, or over {MOST_WORDS}: left out")
    return fitting, notes


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig").splitlines(keepends=True)


# -- lines of JSON -----------------------------------------------------------------------------------------------------


def _json(path: Path) -> Iterator[Text]:
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            try:
                entry = json.loads(line)
                yield Text(entry["text"], _spans(entry["text"], entry["spans"]), entry.get("label"))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path.name}, line {number}: {_said(error)}; a line is as in\n{FORMS}") from None


def _spans(text: str, pairs: Sequence[Sequence[int]]) -> tuple[Unit, ...]:
    for begin, end in pairs:
        if not 0 <= begin < end <= len(text):
            raise ValueError(f"[{begin}, {end}] is no span of {len(text)} characters")
    return tuple(Unit(begin, end) for begin, end in pairs)


def _said(error: Exception) -> str:
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)


# -- characters, as Toxic Spans has them -------------------------------------------------------------------------------


def _csv(path: Path) -> Iterator[Text]:
    rows = csv.DictReader(io.StringIO("".join(_lines(path)), newline=""))
    if not {"spans", "text"} <= set(rows.fieldnames or ()):
        return
    for row in rows:
        try:
            marked = sorted({int(i) for i in ast.literal_eval(row["spans"])})
            yield Text(row["text"], _spans(row["text"], runs(marked)), row.get("label") or TOXIC)
        except (ValueError, SyntaxError, TypeError) as error:
            raise ValueError(f"{path.name}, line {rows.line_num}: {error}; a row is as in\n{FORMS}") from None


def runs(marked: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted numbers as runs [begin, end)."""
    found: list[tuple[int, int]] = []
    for i in marked:
        if found and found[-1][1] == i:
            found[-1] = found[-1][0], i + 1
        else:
            found.append((i, i + 1))
    return found


# -- trees -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phrase:
    """A node of a tree: its label, and its words [first, last)."""

    label: str
    first: int
    last: int


def _trees(path: Path) -> Iterator[Text]:
    for number, line in enumerate(_lines(path), 1):
        if not line.startswith("("):
            if number == 1:
                return  # some other text, a README
            raise ValueError(f"{path.name}, line {number}: a tree begins with a bracket; a line is as in\n{FORMS}")
        try:
            text = of_tree(line)
        except (ValueError, IndexError):
            raise ValueError(f"{path.name}, line {number}: its brackets do not match") from None
        if text is not None:
            yield text


def of_tree(line: str) -> Text | None:
    """The sentence of a tree, with its extreme phrases; None for a neutral one. Raises ValueError, IndexError."""
    leaves, phrases = parsed(line)
    whole = phrases[-1]  # a node comes after what is in it
    extreme = EXTREMES.get(whole.label)
    if extreme is None:
        return None
    begins, at = [], 0
    for leaf in leaves:
        begins.append(at)
        at += len(leaf) + 1
    alike = [p for p in phrases if p.label == extreme and 2 * (p.last - p.first) <= len(leaves)]
    largest = [p for p in alike if not any(_inside(p, other) for other in alike)]
    spans = tuple(Unit(begins[p.first], begins[p.last - 1] + len(leaves[p.last - 1])) for p in largest)
    return Text(" ".join(leaves), tuple(sorted(spans, key=lambda s: s.begin)), CLASSES[extreme])


def _inside(p: Phrase, other: Phrase) -> bool:
    return p is not other and other.first <= p.first and p.last <= other.last


def parsed(line: str) -> tuple[list[str], list[Phrase]]:
    """The words of a tree, and its phrases, inner before outer. Raises ValueError or IndexError."""
    leaves: list[str] = []
    phrases: list[Phrase] = []
    opened: list[tuple[str, int]] = []
    tokens = line.replace("(", " ( ").replace(")", " ) ").split()
    at = 0
    while at < len(tokens):
        if tokens[at] == "(":
            opened.append((tokens[at + 1], len(leaves)))
            at += 1
        elif tokens[at] == ")":
            label, first = opened.pop()
            phrases.append(Phrase(label, first, len(leaves)))
        else:
            leaves.append(ESCAPES.get(tokens[at], tokens[at]).replace("\\/", "/"))
        at += 1
    if opened or not phrases or not leaves:
        raise ValueError("brackets do not match")
    return leaves, phrases


READERS: dict[str, Callable[[Path], Iterator[Text]]] = {".jsonl": _json, ".csv": _csv, ".txt": _trees}
