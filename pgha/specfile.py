"""A spec as an operator wrote it: YAML or JSON in a file, or on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from common.errors import InvalidSpec
from common.model.spec import ClusterSpec


def read_spec(path: Path) -> ClusterSpec:
    """Read and check a spec; ``-`` is standard input.

    Raises InvalidSpec naming each wrong field, or the line at which the text is no YAML.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    return parse_spec(text, str(path))


def parse_spec(text: str, name: str) -> ClusterSpec:
    """Read and check a spec's text; raises InvalidSpec, which names the text by ``name``."""
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidSpec(f"{name} is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    try:
        return ClusterSpec.from_plain({} if plain is None else plain)
    except InvalidSpec as error:
        raise InvalidSpec(f"{name}: {error}") from error
