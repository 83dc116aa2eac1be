"""Which commands a keeper runs when, as its host's own settings say.

Not the spec: that comes from the store, and who may write there is not who may choose what runs on a host.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.errors import InvalidSpec
from keeper.hooks.events import EVENTS, Event

TIMEOUT_MAX_S: Final = 600.0


class HookSettings(BaseModel):
    """A command for each event; it is run without a shell, as the keeper's own user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    primary_ready: str = Field(
        default="", description="command once writers are let in to this PostgreSQL; its program's whole path"
    )
    demoted: str = Field(
        default="", description="command once this PostgreSQL, which was that, is it no more"
    )
    started: str = Field(default="", description="command once this PostgreSQL takes connections")
    stopped: str = Field(default="", description="command once this PostgreSQL, which had started, has ended")
    failed_over: str = Field(
        default="", description="command after primary_ready where a failover, not a switchover, led to it"
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=TIMEOUT_MAX_S,
        description="limit of each command, in seconds; then all of its process group is killed",
    )

    @field_validator(*EVENTS)
    @classmethod
    def _is_a_command(cls, value: str) -> str:
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"must be a command: {error}") from error
        if value and not (words and Path(words[0]).is_absolute()):
            raise ValueError("must begin with the whole path of a program, such as /usr/local/bin/tell")
        return value

    @property
    def commands(self) -> dict[Event, tuple[str, ...]]:
        """The words of each command that is given."""
        return {event: tuple(shlex.split(text)) for event in EVENTS if (text := getattr(self, event))}

    def check(self) -> None:
        """Raise InvalidSpec when a program could not be run now: a failover is no time to find that out."""
        for event, (program, *_) in self.commands.items():
            if not (Path(program).is_file() and os.access(program, os.X_OK)):
                raise InvalidSpec(f"hooks.{event}: {program} is not there, or is no program that can be run")
