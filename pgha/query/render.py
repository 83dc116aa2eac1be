"""Rows of a query as text and as plain values."""

from __future__ import annotations

from typing import Any

from pgha.query.run import Result


def plain(value: Any) -> Any:
    """A value as JSON has it; what JSON does not know is its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    return str(value)


def as_plain(result: Result) -> dict[str, Any]:
    """One result; rows are lists, since two columns may have one name."""
    return {
        "status": result.status,
        "columns": list(result.columns),
        "rows": [[plain(value) for value in row] for row in result.rows],
        "cut": result.cut,
    }


def text(result: Result) -> str:
    """One result as aligned columns, nothing shortened; a statement without rows as its command tag."""
    if not result.columns:
        return result.status
    cells = [[_cell(value) for value in row] for row in result.rows]
    widths = [max(map(len, column)) for column in zip(result.columns, *cells, strict=True)]
    lines = [list(result.columns), ["-" * width for width in widths], *cells]
    shown = [_line(line, widths) for line in lines]
    return "\n".join([*shown, f"({len(result.rows)} row{'' if len(result.rows) == 1 else 's'})"])


def _line(cells: list[str], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(plain(value)).replace("\n", "\\n")
