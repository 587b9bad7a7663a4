"""What a reader wants to know of a result first: for notebooks and terminals."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sidelight_client import pictures

if TYPE_CHECKING:
    from sidelight_client.results import Result, Unit

Piece = tuple[str, "Unit | None", "tuple[int, int, int] | None"]


def facts(result: "Result") -> list[tuple[str, str]]:
    """The numbers worth a line, by name."""
    lines = [("model", f"{result.model}@{result.version}")]
    if result.top_classes:
        top = result.top_classes[0]
        lines.append(("predicted", f"{top.name}, {result.top_classes_scale} {top.value:.4g}"))
    lines += [
        ("explained", result.target_name),
        (result.scale, f"{result.value:.4g} (on the baseline {result.baseline_value:.4g})"),
        ("evaluations", f"{result.evaluations}, {result.stop_reason.replace('_', ' ')}"),
    ]
    if result.intervention:
        lines.append(("property", result.intervention))
    if result.relative_standard_error is not None:
        lines.append(("standard error", f"{result.relative_standard_error:.2%} of the map's range"))
    for name, found in result.metrics.items():
        lines.append((name, ", ".join(f"{key} {value:.4g}" for key, value in found.values.items()) or "not measured"))
    return lines


def coloured(result: "Result") -> Iterator[Piece]:
    """Pieces of the text in order: (piece, its unit or None, its colour or None)."""
    largest = max((abs(u.score) for u in result.words), default=0.0)
    text = result.source.text if result.source else None
    at = 0
    for unit in result.words:
        if text is not None and unit.begin is not None and unit.end is not None:
            if unit.begin > at:
                yield text[at : unit.begin], None, None
            at = unit.end
            yield text[unit.begin : unit.end], unit, pictures.word_colour(unit.score, largest)
        else:
            yield unit.name, unit, pictures.word_colour(unit.score, largest)
            yield " ", None, None
    if text is not None and result.words and at < len(text):
        yield text[at:], None, None
