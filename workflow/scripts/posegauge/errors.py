"""The two ways in which a job may stop on purpose."""

import difflib


class PoseGaugeError(ValueError):
    """Bad input: the message names the file or key, what was expected and what to do."""


class Unavailable(RuntimeError):
    """This machine cannot run what was asked; the message becomes the reason in the table."""


def nearest(name: str, valid) -> str:
    """Return ' (did you mean X?)' for the valid name closest to `name`, or an empty string."""
    match = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
