"""Canaries: bugs planted in the real code for one run, each of which the simulator must find.

A simulator that misses one is blind there. Nothing of them stands in the product: each puts another
function, method or property in the place of one, and takes it away again when the run ends.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

PRODUCT: Final = ("common", "keeper", "proxy", "sentinel")

SETS: Final = frozenset({"I2", "I3", "I4"})
"""What says that a commit may be lost, be it only because sets that must intersect do not."""


class NothingToReplace(LookupError):
    """What a canary replaces is not there any more: it would plant nothing."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One planted bug, what it is in words, and the invariants of which one must be seen broken."""

    name: str
    what: str
    breaks: frozenset[str]
    plant: Callable[[], AbstractContextManager[None]]


@contextlib.contextmanager
def function(original: Any, replacement: Any, *, within: str = "") -> Iterator[None]:
    """Put a function in the place of another one, in every module of the product that has it.

    ``within``: only in modules whose name begins so. Raises NothingToReplace when there is none.
    """
    modules = [
        module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in PRODUCT and name.startswith(within)
    ]
    places = [
        (module, name) for module in modules for name, value in vars(module).items() if value is original
    ]
    if not places:
        raise NothingToReplace(f"{original} is in no module of {within or 'the product'}")
    for module, name in places:
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, original)


@contextlib.contextmanager
def attribute(owner: type | ModuleType, name: str, replacement: Any) -> Iterator[None]:
    """Put a method, property or a module's function in the place of another one.

    Raises NothingToReplace when there is none.
    """
    if name not in vars(owner):
        raise NothingToReplace(f"{owner.__name__} has no {name} of its own")
    before = vars(owner)[name]
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, before)


def all_canaries() -> dict[str, Canary]:
    """Every canary by its name, in the order of the protocol."""
    from tests.sim import (  # noqa: PLC0415 - they need this
        canaries_keeper,
        canaries_proxy,
        canaries_sentinel,
        canaries_switchover,
    )

    modules = (canaries_sentinel, canaries_keeper, canaries_proxy, canaries_switchover)
    found = [canary for module in modules for canary in module.CANARIES]
    return {canary.name: canary for canary in found}
