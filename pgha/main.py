"""The command line: ``pgha COMMAND``. One module per command; wrong usage exits 64 in every one."""

from __future__ import annotations

import os
import sys
from typing import Final

import typer

from common.errors import PghaError
from pgha.commands import (
    demo,
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
from pgha.exits import Exit, say

USAGE_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[1]
"""What typer raises for an unknown command or option and for a bad value (its own code for that is 2)."""

app = typer.Typer(
    name="pgha",
    help="Keeps a PostgreSQL cluster alive across two data centres.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command()(init.init)
app.command()(status.status)
app.command("topology")(topology.show)
app.command()(explain.explain)
app.command()(history.history)
app.command()(logs.logs)
app.command()(dsn.dsn)
app.command()(query.query)
app.command()(failover.failover)
app.command()(switchover.switchover)
app.command()(pause.pause)
app.command()(resume.resume)
app.command()(restart.restart)
app.command()(restart.reload)
app.command()(members.fence)
app.command()(members.unfence)
app.command()(members.reinit)
app.command()(members.remove)
app.add_typer(requests.app, name="requests")
app.add_typer(spec.app, name="spec")
app.command()(demo.demo)
app.command()(version.version)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors become one line on standard error."""
    try:
        code = app(arguments, prog_name="pgha", standalone_mode=False)
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
    sys.exit(run(sys.argv[1:]))
