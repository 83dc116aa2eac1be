"""The tidy test: the law of this code base holds, and each of its rules bites."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support import tidy
from tests.support.tidy import Tree

ROOT = Path(__file__).parents[2]


def entry_points() -> set[str]:
    """What is started by name, what is there before its use, and the one part that is delivered for tests."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        scripts = tomllib.load(file)["project"]["scripts"]
    programs = {target.partition(":")[0] for target in scripts.values()} | {"pgha.__main__"}
    # A keeper starts its deadman by name.
    programs.add("keeper.deadman.main")
    # The contract tests hold it to what etcd does, so that whatever stands on the Store can run without one.
    return programs | {"common.store.memory"}


def dead_modules(tree: Tree) -> list[str]:
    return tidy.dead_modules(tree, entry_points())


RULES: tuple[Callable[[Tree], list[str]], ...] = (
    tidy.imports_against_the_direction,
    tidy.clocks_and_chance_outside_the_runtime,
    tidy.effects_in_pure_modules,
    dead_modules,
    tidy.long_modules,
    tidy.prints,
    tidy.words_of_one_machine,
    tidy.modules_without_docstring,
    tidy.tests_without_claim,
)


@pytest.fixture(scope="module")
def project() -> Tree:
    return Tree.read(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule: Callable[[Tree], list[str]], project: Tree) -> None:
    """Nothing in the project breaks the rule."""
    complaints = rule(project)

    assert not complaints, "\n" + "\n".join(complaints)


def test_the_whole_project_is_looked_at(project: Tree) -> None:
    """Every package, the tests, CI's script and the documents are among what the rules see."""
    assert {module.package for module in project.modules.values()} == {*tidy.PACKAGES, "tests"}
    assert {".ci/run", "Makefile", "README.md", "docs/protocol.md", "pyproject.toml"} <= project.files.keys()
    assert not any(".venv" in path for path in project.files)


BREAKS: tuple[tuple[Callable[[Tree], list[str]], Mapping[str, str]], ...] = (
    (tidy.imports_against_the_direction, {"common/a.py": "import keeper.plan"}),
    (tidy.imports_against_the_direction, {"common/a.py": "from pgha import output"}),
    (tidy.imports_against_the_direction, {"keeper/a.py": "from sentinel.decide import core"}),
    (tidy.imports_against_the_direction, {"proxy/a.py": "def f():\n    from keeper import plan"}),
    (tidy.imports_against_the_direction, {"pgha/a.py": "from tests.support import aio"}),
    (tidy.clocks_and_chance_outside_the_runtime, {"keeper/a.py": "import time\ntime.monotonic()"}),
    (tidy.clocks_and_chance_outside_the_runtime, {"keeper/a.py": "import time as t\nt.time()"}),
    (tidy.clocks_and_chance_outside_the_runtime, {"keeper/a.py": "from time import monotonic as m\nm()"}),
    (
        tidy.clocks_and_chance_outside_the_runtime,
        {"pgha/a.py": "from datetime import datetime\ndatetime.now()"},
    ),
    (tidy.clocks_and_chance_outside_the_runtime, {"pgha/a.py": "import datetime as d\nd.datetime.now()"}),
    (tidy.clocks_and_chance_outside_the_runtime, {"proxy/a.py": "import random"}),
    (tidy.clocks_and_chance_outside_the_runtime, {"proxy/a.py": "from secrets import token_hex"}),
    (tidy.clocks_and_chance_outside_the_runtime, {"common/store/a.py": "from uuid import uuid4"}),
    (tidy.clocks_and_chance_outside_the_runtime, {"sentinel/a.py": "import os\nos.urandom(1)"}),
    (tidy.effects_in_pure_modules, {"keeper/plan.py": "import asyncio"}),
    (tidy.effects_in_pure_modules, {"keeper/plan_rejoin.py": "from os import path"}),
    (tidy.effects_in_pure_modules, {"sentinel/decide/core.py": "async def f(): ..."}),
    (tidy.effects_in_pure_modules, {"sentinel/decide/__init__.py": "import psycopg"}),
    (tidy.effects_in_pure_modules, {"common/model/a/b.py": "import socket"}),
    (tidy.effects_in_pure_modules, {"proxy/route.py": "import aiohttp.web"}),
    (
        tidy.effects_in_pure_modules,
        {"proxy/route.py": "from proxy import a", "proxy/a.py": "import proxy.b", "proxy/b.py": "import os"},
    ),
    (
        dead_modules,
        {"keeper/main.py": "from keeper import b", "keeper/a.py": "x = 1", "keeper/b.py": "x = 1"},
    ),
    (dead_modules, {"keeper/a.py": "from keeper import b", "keeper/b.py": "from keeper import a"}),
    (dead_modules, {"keeper/a.py": "x = 1", "tests/test_a.py": "from keeper import a"}),
    (dead_modules, {"tests/support/a.py": "x = 1"}),
    (tidy.long_modules, {"keeper/a.py": "x = 1\n" * 351}),
    (tidy.prints, {"common/a.py": "def f():\n    print(1)"}),
    (tidy.words_of_one_machine, {"docs/a.md": f"see {tidy.FORBIDDEN_WORDS[0]}x"}),
    (tidy.words_of_one_machine, {".ci/run": f"pip install -i {tidy.FORBIDDEN_WORDS[2]}"}),
    (tidy.modules_without_docstring, {"tests/a.py": "x = 1"}),
    (tidy.tests_without_claim, {"tests/test_a.py": "class T:\n    def test_it(self): ..."}),
)


@pytest.mark.parametrize(("rule", "files"), BREAKS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_rule_bites(rule: Callable[[Tree], list[str]], files: Mapping[str, str]) -> None:
    """A made-up tree that breaks a rule is complained of, by the name of the file."""
    complaints = rule(Tree(files))

    assert complaints
    assert all(complaint.startswith(tuple(files)) for complaint in complaints)


KEEPS = {
    "common/__init__.py": "",
    "common/model/wal.py": '"""Positions."""\nfrom datetime import datetime',
    "common/runtime/clock.py": '"""Clocks."""\nimport time, asyncio, uuid\ntime.monotonic()\nuuid.uuid4()',
    "keeper/main.py": '"""Runs."""\nfrom keeper import loop\nfrom common.runtime.clock import time',
    "keeper/loop.py": '"""Loops."""\nimport asyncio\nfrom common.model import wal\nasync def f(): ...',
    "keeper/plan.py": '"""Decides."""\nfrom .unused import f',
    "keeper/unused/__init__.py": '"""Only a docstring."""',
    "pgha/main.py": '"""Talks."""\nfrom keeper import plan\nprint(plan)',
    "tests/test_a.py": '"""A."""\nimport time\nfrom tests.support import b\ndef test_it():\n  "A"',
    "tests/support/b.py": '"""Helps."""\nimport random\nprint(random.random())',
    "README.md": "words",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_rule_bites_without_need(rule: Callable[[Tree], list[str]]) -> None:
    """A made-up tree that keeps the law is not complained of."""
    assert rule(Tree(KEEPS)) == []
