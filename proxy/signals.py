"""The signals by which a process is asked to end, and SIGHUP, at which it goes on as before."""

from __future__ import annotations

import asyncio
import logging
import signal

log = logging.getLogger("couch_tailor.signals")


def stop_signals() -> asyncio.Event:
    """Set by SIGTERM or SIGINT. SIGHUP, which would end the process, gets a line in the log."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _tell_of_hangup)
    return stop


def ignore_hangups() -> None:
    """Go on at SIGHUP, for what is done before there are `stop_signals`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _tell_of_hangup() -> None:
    log.warning("SIGHUP changes nothing: rules and settings are read at the start, so restart to take up new ones")
