"""What differs between two specs, as lines of YAML. Pure."""

from __future__ import annotations

import difflib

import yaml

from common.model.spec import ClusterSpec


def as_yaml(spec: ClusterSpec) -> str:
    """A spec as an operator reads and writes it, defaults included."""
    text: str = yaml.safe_dump(spec.to_plain(), sort_keys=False, allow_unicode=True)
    return text


def lines_of(before: ClusterSpec, after: ClusterSpec, names: tuple[str, str]) -> list[str]:
    """A unified diff, three lines of context, without line ends; empty when nothing differs."""
    return list(
        difflib.unified_diff(
            as_yaml(before).splitlines(), as_yaml(after).splitlines(), *names, lineterm="", n=3
        )
    )
