"""How a command ends other than well. The message is for people; no traceback follows it."""

from __future__ import annotations


class UsageError(Exception):
    """A mistake in what the user wrote, on the command line or in a file: exit status 2."""


class RunError(Exception):
    """Everything was written right, and the command failed or the answer is no: exit status 1."""
