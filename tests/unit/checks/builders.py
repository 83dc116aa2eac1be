"""Histories in a few words: times in seconds, operations numbered as they are named."""

from __future__ import annotations

from dataclasses import replace

from tests.checks.history import Action, Operation, Outcome


def did(
    action: Action, start_s: float, end_s: float, outcome: Outcome = "ok", client: str = "c1"
) -> Operation:
    return Operation(0, client, action, outcome, start_s, end_s)


def history(*operations: Operation) -> list[Operation]:
    return [replace(each, number=number) for number, each in enumerate(operations, 1)]
