"""The law of this code base as functions from a tree of sources to complaints.

Each rule takes the tree and returns one line for each place that breaks it.
"""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGES = ("common", "keeper", "sentinel", "proxy", "pgha")
MAY_IMPORT = {
    "common": {"common"},
    "keeper": {"common", "keeper"},
    "sentinel": {"common", "sentinel"},
    "proxy": {"common", "proxy"},
    "pgha": set(PACKAGES),
}

RUNTIME = "common.runtime."
CLOCKS_AND_CHANCE = (
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.clock_gettime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "os.urandom",
    "uuid.uuid1",
    "uuid.uuid4",
    "random",
    "secrets",
)

PURE = (
    "keeper.plan*",
    "sentinel.decide",
    "sentinel.decide.*",
    "proxy.route",
    "common.model",
    "common.model.*",
)
IMPURE_LIBRARIES = frozenset(
    ("asyncio", "os", "socket", "time", "subprocess", "threading", "aiohttp", "grpc", "psycopg")
)

HARMLESS = ("psycopg.conninfo",)

MODULE_LINES_MAX = 350

# With bars in them, so that this file does not break its own rule.
FORBIDDEN_WORDS = "/wo|rk/ /ro|ot/ pypi|.org python|hosted.org sha|red/design".replace("|", "").split()


@dataclass(frozen=True)
class Module:
    """One Python file."""

    name: str
    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    @property
    def is_test(self) -> bool:
        return self.package == "tests"

    @cached_property
    def imports(self) -> dict[str, str]:
        """What it imports anywhere in it, functions included: local name to full name."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name] = alias.name
            elif isinstance(node, ast.ImportFrom):
                origin = self._absolute(node)
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{origin}.{alias.name}"
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        outer = parts[: len(parts) - node.level + self.path.endswith("__init__.py")]
        return ".".join([*outer, *([node.module] if node.module else [])])

    def full_name(self, node: ast.expr) -> str:
        """The full name of an expression such as ``datetime.now``, empty for what is none."""
        if isinstance(node, ast.Attribute):
            outer = self.full_name(node.value)
            return f"{outer}.{node.attr}" if outer else ""
        return self.imports.get(node.id, "") if isinstance(node, ast.Name) else ""


class Tree:
    """The sources of a project: Python by module name, and the text of every file."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.modules = {
            module.name: module
            for path, source in files.items()
            if path.endswith(".py")
            for module in [Module(_module_name(path), path, source)]
        }

    @classmethod
    def read(cls, root: Path) -> Tree:
        """Read what belongs to the project below a directory: nothing hidden but CI's, nothing built."""
        return cls({str(path.relative_to(root)): text for path, text in _texts(root)})

    @property
    def product(self) -> Iterator[Module]:
        """The modules that are delivered."""
        return (module for module in self.modules.values() if module.package in PACKAGES)

    def imported_by(self, module: Module) -> set[str]:
        """The project's own modules that one imports, with the packages that they are in."""
        found: set[str] = set()
        for name in module.imports.values():
            parts = name.split(".")
            found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        return found & self.modules.keys()

    def reached_from(self, starts: set[str]) -> set[str]:
        """The modules that are imported when these are, and these."""
        reached: set[str] = set()
        to_visit = starts
        while to_visit:
            reached |= to_visit
            to_visit = {name for each in to_visit for name in self.imported_by(self.modules[each])} - reached
        return reached


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _texts(directory: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name != ".ci"
            built = path.name in {"__pycache__", "build", "dist"} or path.name.endswith(".egg-info")
            if not hidden and not built:
                yield from _texts(path)
        elif path.is_file() and path.name != ".git":  # which a further worktree has instead of a directory
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def imports_against_the_direction(tree: Tree) -> list[str]:
    """``common`` knows none of the others, the services only ``common`` and themselves."""
    return [
        f"{module.path}: {module.package} must not import {name}"
        for module in tree.product
        for name in sorted(set(module.imports.values()))
        if name.partition(".")[0] in {*PACKAGES, "tests"} - MAY_IMPORT[module.package]
    ]


def clocks_and_chance_outside_the_runtime(tree: Tree) -> list[str]:
    """Time and randomness are given to the code, so that a simulation can give it other ones."""
    complaints = []
    for module in tree.product:
        if module.name.startswith(RUNTIME):
            continue
        used = {
            module.full_name(node): node.lineno
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute | ast.Name)
        }
        used |= dict.fromkeys(module.imports.values(), 1)
        complaints += [
            f"{module.path}:{line}: {name} belongs to common/runtime"
            for name, line in used.items()
            if any(name == banned or name.startswith(f"{banned}.") for banned in CLOCKS_AND_CHANCE)
        ]
    return complaints


def effects_in_pure_modules(tree: Tree) -> list[str]:
    """What decides never awaits and reaches nothing outside, not through what it imports either."""
    complaints = []
    for module in filter(_is_pure, tree.product):
        complaints += [
            f"{module.path}: a pure module must not get at {library} ({reached})"
            for reached in sorted(tree.reached_from({module.name}))
            for library in sorted(set(tree.modules[reached].imports.values()))
            if library.partition(".")[0] in IMPURE_LIBRARIES and not library.startswith(HARMLESS)
        ]
        complaints += [
            f"{module.path}:{node.lineno}: a pure module must not await"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.AsyncFunctionDef | ast.Await)
        ]
    return complaints


def _is_pure(module: Module) -> bool:
    """Whether a module must be pure by its place, or says that it is."""
    purpose = (ast.get_docstring(module.tree) or "").partition("\n\n")[0]
    return "Pure." in purpose or any(fnmatch.fnmatchcase(module.name, pattern) for pattern in PURE)


def dead_modules(tree: Tree, entry_points: set[str]) -> list[str]:
    """Every module is reached from a program's entry point; those of the tests from a test or a benchmark."""
    return [
        *_unreached(tree, PACKAGES, {name for name in tree.modules if name in entry_points}),
        *_unreached(tree, ("tests",), {name for name in tree.modules if _starts_by_itself(name)}),
    ]


def _starts_by_itself(name: str) -> bool:
    last = name.rpartition(".")[2]
    return name.startswith("tests.bench.") or last.startswith("test_") or last == "conftest"


def _unreached(tree: Tree, packages: tuple[str, ...], starts: set[str]) -> list[str]:
    reached = tree.reached_from(starts)
    return [
        f"{module.path}: nothing that runs imports it"
        for module in tree.modules.values()
        if module.package in packages and module.name not in reached and not _is_empty(module)
    ]


def _is_empty(module: Module) -> bool:
    """Whether there is nothing but a docstring, as in the file that makes a directory a package."""
    return not module.tree.body[ast.get_docstring(module.tree) is not None :]


def long_modules(tree: Tree) -> list[str]:
    """One question, one module: a long one answers several."""
    return [
        f"{module.path}: {lines} lines, at most {MODULE_LINES_MAX}"
        for module in tree.modules.values()
        if (lines := len(module.source.splitlines())) > MODULE_LINES_MAX
    ]


def prints(tree: Tree) -> list[str]:
    """Services log; only the command line talks to a person."""
    return [
        f"{module.path}:{node.lineno}: print() belongs to pgha"
        for module in tree.product
        if module.package != "pgha"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def words_of_one_machine(tree: Tree) -> list[str]:
    """The project names no path of the machine that it was written on, and no package index."""
    return [
        f"{path}:{number}: {word} must not stand here"
        for path, text in tree.files.items()
        for number, line in enumerate(text.splitlines(), 1)
        for word in FORBIDDEN_WORDS
        if word in line
    ]


def modules_without_docstring(tree: Tree) -> list[str]:
    """A reader who opens a module is told what it is for."""
    return [
        f"{module.path}: no docstring"
        for module in tree.modules.values()
        if module.tree.body and ast.get_docstring(module.tree) is None
    ]


def tests_without_claim(tree: Tree) -> list[str]:
    """A test's docstring says what holds when it passes."""
    return [
        f"{module.path}:{node.lineno}: {node.name} has no docstring"
        for module in tree.modules.values()
        if module.is_test
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    ]
