"""The command line: ``pgha COMMAND``. One module per command; wrong usage exits 64 in every one."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import typer

from common.errors import PghaError
from pgha.exits import Exit, say

if TYPE_CHECKING:  # each is imported when it is asked for: all of them together take a second
    from pgha.commands import (  # noqa: F401
        demo,
        doctor,
        dsn,
        explain,
        failover,
        history,
        init,
        logs,
        members,
        pause,
        query,
        requests,
        restart,
        resume,
        spec,
        status,
        switchover,
        topology,
        version,
    )

USAGE_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[1]
"""What typer raises for an unknown command or option and for a bad value (its own code for that is 2)."""

HELP: Final = "Keeps a PostgreSQL cluster alive across two data centres."

COMMANDS: Final[Mapping[str, str]] = {
    "init": "init.init",
    "status": "status.status",
    "topology": "topology.show",
    "explain": "explain.explain",
    "doctor": "doctor.doctor",
    "history": "history.history",
    "logs": "logs.logs",
    "dsn": "dsn.dsn",
    "query": "query.query",
    "switchover": "switchover.switchover",
    "failover": "failover.failover",
    "pause": "pause.pause",
    "resume": "resume.resume",
    "restart": "restart.restart",
    "reload": "restart.reload",
    "fence": "members.fence",
    "unfence": "members.unfence",
    "reinit": "members.reinit",
    "remove": "members.remove",
    "requests": "requests.app",
    "spec": "spec.app",
    "demo": "demo.demo",
    "version": "version.version",
}
"""Every command: the module of :mod:`pgha.commands` that has it, and its name there; ``app`` is a group."""


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """The command line with the one command that is asked for; with all of them where that is not clear."""
    app = typer.Typer(
        name="pgha",
        help=HELP,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback(help=HELP)(
        _nothing
    )  # with a callback typer keeps the command's name, also where it is the only one
    asked = arguments[0] if arguments else ""
    for name in [asked] if asked in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[name].partition(".")
        command = getattr(importlib.import_module(f"pgha.commands.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _nothing() -> None:
    """Before the command."""


def run(arguments: list[str], app: typer.Typer | None = None) -> int:
    """Run one command and return its exit code; errors become one line on standard error."""
    try:
        code = (app or app_for(arguments))(arguments, prog_name="pgha", standalone_mode=False)
    except USAGE_ERROR as error:
        return _wrong_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except (PghaError, OSError) as error:
        say(str(error))
        return Exit.FAILED
    return code if isinstance(code, int) else Exit.HEALTHY


def _wrong_usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    message: str = getattr(error, "format_message", error.__str__)()
    message = message.replace("Value error, ", "").rstrip(".")
    say(f"{message}; see {context.command_path if context else 'pgha'} --help")
    return Exit.USAGE


def main() -> None:
    """Entry point of the console script."""
    gc.disable()  # nothing that is imported is garbage, and to look for some takes a tenth of the time
    app = app_for(sys.argv[1:])
    gc.freeze()
    gc.enable()
    sys.exit(run(sys.argv[1:], app))
