"""How answers look in a notebook or a browser: HTML with the overlay or the coloured text, and the numbers."""

import base64
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from sidelight_client import pictures, plots, summary

if TYPE_CHECKING:
    from sidelight_client.interventions import Intervention
    from sidelight_client.results import Explanation, Result

SIDE = 320  # pixels; notebooks keep every picture they show


def explanation(answer: "Explanation") -> str:
    """All results one below the other."""
    head = f"{answer.method} · seed {answer.seed} · {answer.timings.get('total', 0.0):.2f} s"
    return f"<div><p>{escape(head)}</p>{_list(answer.warnings)}{''.join(result(r) for r in answer.results)}</div>"


def page(answer: "Explanation") -> str:
    """The same as a file of its own, whatever the browser's language and colours."""
    style = "body{font-family:sans-serif;background:white;color:black}p{line-height:1.6}td{padding-left:1em}"
    head = f"<meta charset='utf-8'><title>{escape(answer.method)} {escape(answer.id)}</title><style>{style}</style>"
    return f"<!DOCTYPE html><html><head>{head}</head><body>{explanation(answer)}</body></html>\n"


def result(result: "Result") -> str:
    """The overlay or the text beside a table of numbers; of an intervention its curve above them."""
    if result.intervention is not None:
        return intervention(result, result.intervention)
    picture = result.pictured
    shown = _image(pictures.png(picture, SIDE)) if picture is not None else words(result)
    curves = "" if result.optimised is None else plots.curves(result.optimised.terms)
    table = f"<table>{_facts(result)}</table>{curves}{attributions(result)}{_list(result.warnings)}"
    return f"<div style='display:flex;gap:1em;align-items:flex-start'><div>{shown}</div><div>{table}</div></div>"


def intervention(result: "Result", found: "Intervention") -> str:
    """The curve with the frames, the numbers, and the series as a table to unfold."""
    rows = found.rows()
    columns = list(rows[0]) if rows else []
    head = "".join(f"<th>{escape(c.replace('_', ' '))}</th>" for c in columns)
    body = "".join(f"<tr>{''.join(_cell(row[c]) for c in columns)}</tr>" for row in rows)
    series = f"<details><summary>all {len(rows)} strengths</summary><table><tr>{head}</tr>{body}</table></details>"
    return f"<div>{result.curve_svg()}<table>{_facts(result)}</table>{series}{_list(result.warnings)}</div>"


def _cell(value: object) -> str:
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"<td style='text-align:right'>{escape(shown)}</td>"


def _facts(result: "Result") -> str:
    return "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in summary.facts(result)
    )


def attributions(result: "Result") -> str:
    """A comparison as a table."""
    if len(result.attributions) < 2:
        return ""
    lines, baselines = summary.comparison(result)
    cell = "<td style='text-align:left'>{}</td>".format
    rows = "".join(f"<tr>{''.join(cell(escape(text)) for text in line)}</tr>" for line in (summary.COLUMNS, *lines))
    return f"<table>{rows}</table>{''.join(f'<p>{escape(words)}</p>' for words in baselines)}"


def words(result: "Result") -> str:
    """The text, its lines as they are and to its own side, words coloured by their scores, rationales underlined."""
    passages = []
    for rationale, pieces in summary.passages(result):
        passage = "".join(_piece(piece) for piece in pieces)
        if rationale is not None:
            style = "text-decoration:underline;text-decoration-thickness:2px;text-underline-offset:3px"
            passage = f"<u style='{style}' title='rationale {rationale.score:.4g}'>{passage}</u>"
        passages.append(passage)
    return f"<p dir='auto' style='max-width:40em;white-space:pre-wrap'>{''.join(passages)}</p>" if passages else ""


def _piece(piece: summary.Piece) -> str:
    style = ""
    if piece.unit is not None:
        style = f" style='background:rgb{piece.colour};color:black' title='{piece.unit.score:.4g}'"
    return f"<span{style}>{escape(piece.text)}</span>"


def _image(encoded: bytes) -> str:
    return f"<img src='data:image/png;base64,{base64.b64encode(encoded).decode()}'>"


def _list(warnings: Iterable[str]) -> str:
    return "".join(f"<p>⚠ {escape(w)}</p>" for w in warnings)
