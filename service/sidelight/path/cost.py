"""What attributions cost, as well as it can be told before the layers are known."""

from sidelight.core.ask import INPUT
from sidelight.core.inputs import ImageInput, Input
from sidelight.path.attributions import READINGS, Source
from sidelight.path.options import Attribution, Options


def cost(options: Options, x: Input) -> int:
    """Rows for one target over one baseline; of an adaptive rule as if it were fixed."""
    nodes: set[float] = set()
    own = draws = 0
    for kind in options.attributions:
        if kind is Attribution.EXPECTED_GRADIENTS:
            draws = options.draws
        elif (points := READINGS[kind].points) is None:
            own = options.nodes
        else:
            nodes |= set(points)
    sources = {READINGS[kind].source for kind in options.attributions}
    at_input = options.layers == (INPUT,) or (not options.layers and isinstance(x, ImageInput))
    seen = 0 if at_input else 1 + (Source.REQUEST in sources)
    ends = 1 + options.smooth_copies + len(sources - {Source.NONE})
    rows = seen + ends + max(1, options.smooth_copies) * (len(nodes) + own) + draws
    return rows * (max(1, len(options.layers)) if options.fuses else 1)
