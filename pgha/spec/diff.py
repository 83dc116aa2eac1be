"""What differs between two specs, as lines of YAML. Pure."""

from __future__ import annotations

import difflib

import yaml

from common.model.spec import ClusterSpec


def as_yaml(spec: ClusterSpec) -> str:
    """A spec as an operator reads and writes it, defaults included, parameters by name.

    The order in which parameters are given means nothing, so it must not look like a difference.
    """
    plain = spec.to_plain()
    plain["postgres"]["parameters"] = dict(sorted(plain["postgres"]["parameters"].items()))
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text


def lines_of(before: ClusterSpec, after: ClusterSpec, names: tuple[str, str]) -> list[str]:
    """A unified diff, three lines of context, without line ends; empty when nothing differs."""
    return list(
        difflib.unified_diff(
            as_yaml(before).splitlines(), as_yaml(after).splitlines(), *names, lineterm="", n=3
        )
    )
