"""What a reader wants to know of a result first: for notebooks and terminals."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sidelight_client import pictures

if TYPE_CHECKING:
    from sidelight_client.attributions import Attribution
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
    if result.twin_gap is not None:
        lines.append(("twin", f"differs from the served model by {result.twin_gap:.1g} of its largest output"))
    if len(result.attributions) == 1:
        (one,) = result.attributions
        lines += [("baseline", one.baseline), ("rule", one.rule), ("attributed", attributed(one))]
        if one.indicator is not None:
            lines.append(("map's error", f"{one.indicator:.2%} of it, estimated"))
    if result.rest:
        lines.append(("special tokens", f"{result.rest:.4g}"))
    if result.relative_standard_error is not None:
        lines.append(("standard error", f"{result.relative_standard_error:.2%} of the map's range"))
    for name, found in result.metrics.items():
        lines.append((name, ", ".join(f"{key} {value:.4g}" for key, value in found.values.items()) or "not measured"))
    return lines


def attributed(one: "Attribution") -> str:
    """What was attributed of what there was, and where the difference comes from."""
    if one.target is None:
        return f"{one.result:.4g}, of a target that is not defined"
    words = f"{one.result:.4g} of {one.target:.4g}"
    if one.error_relative is not None:
        words += f", |E|/|T| {ratio(one.error_relative)}"
    return words + (f" ({largest_part(one)})" if one.largest_part else "")


COLUMNS = ("attribution", "over", "target T", "result R", "error E", "|E|/|T|", "largest part of E", "evaluations")


def comparison(result: "Result") -> tuple[list[tuple[str, ...]], list[str]]:
    """A line for each attribution, one text for each of COLUMNS; and in words the baselines that they number."""
    baselines = list(dict.fromkeys(one.baseline for one in result.attributions))
    lines = [
        (
            one.attribution.replace("_", " "),
            f"b{baselines.index(one.baseline) + 1}",
            *("" if v is None else f"{v:.4g}" for v in (one.target, one.result, one.error)),
            ratio(one.error_relative),
            largest_part(one),
            str(one.evaluations),
        )
        for one in result.attributions
    ]
    return lines, [f"b{number}: {words}" for number, words in enumerate(baselines, start=1)]


def largest_part(one: "Attribution") -> str:
    """In words; empty where the error has no parts."""
    if one.largest_part is None:
        return ""
    name, value = one.largest_part
    return name.replace("_", " ") + (f" {value:+.3g}" if math.isfinite(value) else "")


def ratio(value: float | None) -> str:
    """|E|/|T| with two digits, in full where it is large and as a power where it is tiny."""
    return "" if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}"


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
