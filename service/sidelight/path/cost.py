"""What attributions cost, as well as it can be told before the layers are known."""

from sidelight.core.ask import INPUT
from sidelight.core.inputs import ImageInput, Input
from sidelight.path.attributions import READINGS, Source
from sidelight.path.fixed import rule_of, table_of
from sidelight.path.options import Attribution, Options


def cost(options: Options, x: Input) -> int:
    """Rows for one target over one baseline; of an adaptive rule as if it were fixed."""
    rule, copies = rule_of(options), max(1, options.smooth_copies)
    at_input = options.layers == (INPUT,) or (not options.layers and isinstance(x, ImageInput))
    nodes: set[float] = set()
    draws = 0
    for kind in options.attributions:
        if kind is Attribution.EXPECTED_GRADIENTS:
            draws = options.draws
        else:
            nodes |= set(table_of(kind, rule))
    sources = {READINGS[kind].source for kind in options.attributions}
    ends = 1 + options.smooth_copies + len(sources - {Source.NONE})
    rows = (0 if at_input else 2) + ends + copies * len(nodes) + draws
    return rows * (max(1, len(options.layers)) if options.fuses else 1)
