"""Names of parameters across modules: who has several, and when the module is a part of one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ckptkit.nodes import MapNode
from ckptkit.torch_bridge.parameter_names import ParameterNames, live_parameters_of
from ckptkit.verbs.restoring.nested import flat_targets, node_at
from ckptkit.verbs.restoring.planned import Request

Named = tuple[str, str]  # section, name in it


def other_names(
    taken: Collection[Named], named: ParameterNames, request: Request
) -> dict[Named, Named]:
    """Return every other name of the parameters called ``taken``: tied, or of several modules.

    The first of tied names depends on the order of the code and of the targets, so a stored name
    may be any of them.
    """
    found: dict[Named, Named] = {}
    for section, value in flat_targets(request.targets):
        for key, parameter in live_parameters_of(value):
            first = named.of(parameter)
            own = (first.section, first.name)
            if own in taken and own != (section, key):
                found[section, key] = own
    return found


def is_qualified(live: Sequence[str], stored: Sequence[str], document: MapNode) -> bool:
    """Say whether a parameter is only known by its module and its name together.

    It is, where there are several modules on both sides, or where the checkpoint knows both
    modules and they are others: two networks of one class share every name.
    """
    told = {*filter(None, stored)}
    if len(live) > 1 and len(told) > 1:
        return True
    strangers = told.difference(live)
    known = [section for section in (*live, *told) if node_at(document, section) is not None]
    return bool(strangers and live) and len(known) == len(live) + len(told)
