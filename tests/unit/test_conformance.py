"""docs/conformance.md names only tests that exist, and leaves nobody without an answer."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
NAMED = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
FATES = (
    "**as there**",
    "**differently**",
    "**not in this release**",
    "not needed",
    "no conflict",
    "it always is",
)


@cache
def claims_of(path: Path) -> frozenset[str]:
    """The test functions of a module, without running it."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def missing(text: str) -> list[str]:
    """What a text names and is not there, with where a test of that name is now."""
    named = sorted(set(NAMED.findall(text)))
    return [
        f"{path}::{name} is {' and '.join(places(name)) or 'nowhere'}"
        for path, name in named
        if not (ROOT / path).is_file() or name not in claims_of(ROOT / path)
    ]


def places(name: str) -> list[str]:
    """The modules that have a test of this name."""
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in modules if name in claims_of(path)]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables that say by which test something is held."""
    found, ours = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells[-1:] == ["by"]:
            ours = True
        elif not cells:
            ours = False
        elif ours and not set(cells[0]) <= {"-"}:
            found.append(cells)
    return found


def test_every_test_that_the_page_names_exists() -> None:
    """Whoever renames or removes one is told which promise of the page hangs on it."""
    text = PAGE.read_text(encoding="utf-8")

    assert len(set(NAMED.findall(text))) > 100
    assert missing(text) == []


def test_every_row_says_what_became_of_the_behaviour_and_by_what_it_is_held() -> None:
    """A row has one of the known answers; only what is missing, or not needed, may go without a test."""
    found = rows(PAGE.read_text(encoding="utf-8"))

    assert len(found) > 80
    for cells in found:
        assert len(cells) == 3, cells
        behaviour, answer, by = cells
        assert any(fate in answer for fate in FATES), behaviour
        assert by or "not" in answer, behaviour


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("`tests/unit/test_conformance.py::test_nothing`", "nowhere"),
        ("`tests/unit/test_no_such_file.py::test_a_name_that_leads_nowhere_is_found`", "test_conformance.py"),
    ],
    ids=["no such test", "moved"],
)
def test_a_name_that_leads_nowhere_is_found(text: str, where: str) -> None:
    """The check itself bites, and says where a test has gone."""
    [complaint] = missing(text)

    assert complaint.endswith(where)
