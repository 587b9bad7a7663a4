"""Properties of an image, and what changes them gradually: the protocol's own `Property`, in one call.

Interventional(properties=[
    gradual("rotation", first=-30, last=30, count=41),
    gradual("overlay", image="ruler.png", name="ruler"),
    gradual("instruct_pix2pix", prompt="make the fur white", count=40),
])
"""

from collections.abc import Sequence
from typing import Any

from sidelight_proto.v1.intervention_pb2 import Parametric, Property

from sidelight_client.errors import InvalidRequest
from sidelight_client.methods import hint
from sidelight_client.parameters import choices, fill

CHANGES = tuple(choices(Parametric.DESCRIPTOR.fields_by_name["change"]))
EDITORS = tuple(field.name for field in Property.DESCRIPTOR.oneofs_by_name["editor"].fields)


def gradual(
    what: str,
    *,
    name: str | None = None,
    unit: str | None = None,
    strengths: Sequence[float] = (),
    first: float | None = None,
    last: float | None = None,
    count: int | None = None,
    **parameters: Any,
) -> Property:
    """One property, do(X := x) for x from `first` to `last` in `count` steps, or for `strengths`.

    what: a change of pixels ("rotation", "brightness", "overlay", ...: `CHANGES`), or an editor ("instruct_pix2pix",
    "sdedit", "ledits", or "captured" for the images of the input), with its `parameters` in plain words: a prompt, a
    picture as a path, bytes or PIL image, an array. Whatever is left out is the editor's own. Raises InvalidRequest.
    """
    if what in CHANGES:
        editor, parameters, name = "parametric", {"change": what, **parameters}, name or what
    elif what in EDITORS:
        editor = what
    else:
        raise InvalidRequest.of("properties", f"{what!r} is unknown; {hint(what, (*CHANGES, *EDITORS))}")
    made = Property()
    given = {"name": name, "unit": unit, "strengths": strengths, "first": first, "last": last, "count": count}
    fill(made, {key: value for key, value in given.items() if value is not None}, what)
    message = getattr(made, editor)
    message.SetInParent()
    fill(message, parameters, what)
    return made
