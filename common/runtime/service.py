"""Runs a service from its start to its end: event loop, signals, exit codes.

How it ends:

- SIGTERM or SIGINT: the service is asked to stop and does so in its own order; exit code 0. A second
  one ends the process at once.
- A loop that ended, or any error that nobody handled: it is logged and the exit code is 1, so that the
  service manager starts the process again. Nothing goes on half.
- Wrong input: one line on standard error, exit code 64.
- An end that takes too long (a thread that hangs in the kernel): where it hangs is written to
  standard error, and the process ends with exit code 1.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from common.errors import InvalidSpec, PghaError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 64
"""EX_USAGE of sysexits.h."""

END_LIMIT_S: Final = 20.0

COLLECT_AFTER: Final = (20_000, 20, 20)
"""Objects made and not freed, young collections, middle ones: what each generation waits for."""

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger()


def run_service(
    main: Callable[[asyncio.Event], Awaitable[None]],
    *,
    end_limit_s: float = END_LIMIT_S,
    use_uvloop: bool = False,
) -> int:
    """Run ``main`` and return the exit code; the event that it is given is set when it shall stop.

    ``end_limit_s`` is how long it may take from then on until the process is gone, in seconds.
    """
    with asyncio.Runner(loop_factory=_loop_factory(use_uvloop=use_uvloop)) as runner:
        try:
            runner.run(_until_stopped(main, end_limit_s))
        except InvalidSpec as error:
            _log.error("wrong_input", error=str(error))
            return EXIT_USAGE
        except PghaError as error:
            _log.error("service_failed", error=str(error))
            return EXIT_FAILED
        except Exception:  # noqa: BLE001 - whatever it is ends the process, and is logged
            _log.exception("service_crashed")
            return EXIT_FAILED
    _log.info("ended")
    return 0


def _loop_factory(*, use_uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    if not use_uvloop:
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 - for the proxy alone; the other services gain nothing

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[None]], end_limit_s: float) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def asked_to_stop(received: signal.Signals) -> None:
        if stop.is_set():
            _log.warning("ended_at_once", signal=received.name)
            os._exit(EXIT_FAILED)
        _log.info("stopping", signal=received.name)
        stop.set()
        _end_within(end_limit_s)

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, asked_to_stop, number)
    loop.set_exception_handler(_log_stray_error)
    _spare_the_collector()
    try:
        await main(stop)
    finally:
        if not stop.is_set():
            _end_within(end_limit_s)


def _spare_the_collector() -> None:
    """Leave modules and classes, which live as long as the process, out of each later collection.

    Otherwise a full collection walks a hundred thousand of them every half minute: a tenth of what a
    service uses at rest, and a pause of tens of milliseconds when it may just be needed. For the same
    reason what is new is looked at more rarely than Python would; it is a few megabytes until then.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _end_within(limit_s: float) -> None:
    """From a thread that needs neither the loop nor the interpreter: both may be what hangs."""
    faulthandler.dump_traceback_later(limit_s, exit=True)


def _log_stray_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio could not hand to anybody."""
    _log.error("stray_error", what=context.get("message"), exc_info=context.get("exception"))
