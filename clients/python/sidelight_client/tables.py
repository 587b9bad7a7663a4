"""Attributions, and effects of properties, side by side, for terminals."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidelight_client import summary

if TYPE_CHECKING:
    from sidelight_client.results import Result

WORDS = ("attribution", "over", "largest part of E")  # the other columns are numbers
EFFECTS = ("property", "model", "of", "S", "N", "p", "variation", "mean g", "flips", "shift")
WIDTH = 120  # of a terminal that is not there


def attributions(result: "Result") -> Table:
    """A line for each attribution of a result: what there was to attribute, what was, and where the rest is."""
    lines, baselines = summary.comparison(result)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", caption_justify="left")
    table.title = Text(f"{result.target_name}, {result.scale}", "bold")
    table.caption = Text("\n".join(baselines), "dim")
    for column in summary.COLUMNS:
        number = column not in WORDS
        table.add_column(column, header_style="dim", justify="right" if number else "left", no_wrap=number)
    for line in lines:
        table.add_row(*line)
    return table


def interventions(results: Sequence["Result"]) -> Table:
    """A line for each property, model and class: the effect beside its significance."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in EFFECTS:
        table.add_column(
            column, header_style="dim", justify="left" if column in ("property", "model", "of") else "right"
        )
    for result in results:
        found = result.intervention
        if found is None:
            continue
        test = found.significance
        table.add_row(
            found.property,
            f"{result.model}@{result.version}",
            result.target_name,
            f"{found.score:.4g}" + ("~" if found.estimated else ""),
            str(found.count),
            "" if test is None else f"{test.p_value_corrected:.2g}" + (" *" if test.significant else ""),
            f"{found.total_variation:.4g}",
            f"{found.signed_mean:+.3g}",
            str(found.flips),
            f"{found.reconstruction_shift:+.3g}",
        )
    return table


def text(table: Table) -> str:
    """As it is printed where there is no terminal."""
    written = io.StringIO()
    Console(file=written, width=WIDTH, markup=False, emoji=False, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"
