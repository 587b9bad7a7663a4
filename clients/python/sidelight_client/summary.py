"""What a reader wants to know of a result first: for notebooks and terminals."""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from sidelight_client import curve, pictures

if TYPE_CHECKING:
    from sidelight_client.attributions import Attribution
    from sidelight_client.interventions import Intervention
    from sidelight_client.optimised import Optimised, Rationale
    from sidelight_client.results import Result, Unit


class Piece(NamedTuple):
    """A piece of a text: a word with its colour, or what is between two words; and the rationale that it is in."""

    text: str
    unit: "Unit | None" = None
    colour: tuple[int, int, int] | None = None
    rationale: "Rationale | None" = None


def facts(result: "Result") -> list[tuple[str, str]]:
    """The numbers worth a line, by name."""
    lines = [("model", f"{result.model}@{result.version}")]
    if result.top_classes:
        top = result.top_classes[0]
        lines.append(("predicted", f"{top.name}, {result.top_classes_scale} {top.value:.4g}"))
    intervention = result.intervention
    ground = "on the baseline" if intervention is None else "at the first strength"
    lines += [
        ("explained", result.target_name),
        (result.scale, f"{result.value:.4g} ({ground} {result.baseline_value:.4g})"),
        ("evaluations", f"{result.evaluations}, {result.stop_reason.replace('_', ' ')}"),
    ]
    if intervention is not None:
        lines += intervened(result, intervention)
    if result.twin_gap is not None:
        lines.append(("twin", f"differs from the served model by {result.twin_gap:.1g} of its largest output"))
    if len(result.attributions) == 1:
        (one,) = result.attributions
        lines += [("baseline", one.baseline), ("rule", one.rule), ("attributed", attributed(one))]
        if one.indicator is not None:
            lines.append(("map's error", f"{one.indicator:.2%} of it, estimated"))
    if result.optimised is not None:
        lines += mask(result.optimised)
    if result.rationales:
        lines.append(("rationales", "; ".join(f"{r.text!r} {r.score:.2f}" for r in result.rationales)))
    if result.rest:
        lines.append(("special tokens", f"{result.rest:.4g}"))
    if result.relative_standard_error is not None:
        lines.append(("standard error", f"{result.relative_standard_error:.2%} of the map's range"))
    for name, found in result.metrics.items():
        lines.append((name, ", ".join(f"{key} {value:.4g}" for key, value in found.values.items()) or "not measured"))
    return lines


def intervened(result: "Result", found: "Intervention") -> list[tuple[str, str]]:
    """What a property did: how much, how surely, and what it cost."""
    first, last = (curve.with_unit(x, found.unit) for x in (found.strengths[0], found.strengths[-1]))
    estimated = ", estimated" if found.estimated else ""
    lines = [
        ("property", f"{found.property}, {first} to {last} by {found.editor}"),
        (
            "score S",
            f"{found.score:.4g} over N = {found.count}{estimated} ({found.score_with_original:.4g} with the input)",
        ),
        ("test", curve.order(found)),
        ("moves by", f"{found.total_variation:.4g} in all, {found.signed_mean:+.4g} a step"),
        ("flips", curve.flips(found)),
    ]
    if found.gradient is not None and found.unit:
        lines.append(("gradient", f"{found.gradient:.4g} per {found.unit}"))
    lines.append(("shift", f"{found.reconstruction_shift:+.4g} from the input to the first strength"))
    for name, one in found.dependence.items():
        lines.append((name.replace("_", " "), f"{one.value:.4g}, p = {one.p_value:.2g}"))
    remembered = "" if result.edits else " (the frames were there already)"
    lines.append(("edits", f"{result.edits}{remembered}"))
    return lines


def mask(found: "Optimised") -> list[tuple[str, str]]:
    """What an optimised mask is worth, and how it was come by."""
    how = f"{found.objective:.4g} at step {found.step} of {found.steps}"
    how += ", settled" if found.settled else ", not settled"
    how += ", searched for without gradients" if found.gradient_free else ""
    return [("mask", f"{worth(found)}; its mean is {found.mean:.2f}"), ("objective", how)]


def worth(found: "Optimised") -> str:
    """What the class scores on what the mask keeps, and on the rest."""
    if math.isnan(found.kept):
        return "the deadline came before it could be told what the mask is worth"
    return f"kept part scores {found.kept:.2f}, without it {found.removed:.2f}"


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
    """Pieces of the text in order. A mask's colours are of 0..1, other scores' of what the largest has."""
    largest = max((abs(u.score) for u in result.words), default=0.0) if result.optimised is None else 1.0
    text = result.source.text if result.source else None
    at = 0
    for unit in result.words:
        colour = pictures.word_colour(unit.score, largest)
        if text is not None and unit.begin is not None and unit.end is not None:
            if unit.begin > at:
                yield Piece(text[at : unit.begin], rationale=_rationale(result, at, unit.begin))
            at = unit.end
            inside = _rationale(result, unit.begin, unit.end)
            yield Piece(text[unit.begin : unit.end], unit, colour, inside)
        else:
            yield Piece(unit.name, unit, colour)
            yield Piece(" ")
    if text is not None and result.words and at < len(text):
        yield Piece(text[at:])


def passages(result: "Result") -> Iterator[tuple["Rationale | None", list[Piece]]]:
    """The pieces in runs that are one rationale, or none."""
    for inside, run in groupby(coloured(result), key=lambda piece: piece.rationale):
        yield inside, list(run)


def _rationale(result: "Result", begin: int, end: int) -> "Rationale | None":
    """The one that these characters are in."""
    return next((r for r in result.rationales if r.begin <= begin and end <= r.end), None)
