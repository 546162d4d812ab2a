"""The format of log lines, for gunicorn's master and for the application.

The master loads this file by its path, so it must import nothing of the application, see gunicorn.conf.py.
"""

import json
import logging

from pythonjsonlogger.json import JsonFormatter

SHOWN_FIRST = ("time", "level", "logger", "message", "event", "method", "route", "status", "duration", "exc_info")


class LineFormatter(JsonFormatter):
    """JSON: `time` (in UTC), `level`, `logger`, `message`, the fields of `extra`, and the exception as `exc_info`."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )


class ReadableFormatter(LineFormatter):
    """The same for a person at a terminal, in development."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return readable(super().format(record))


def readable(line: str) -> str:
    """Return a line of JSON as a person reads it: time, level, what happened, and the other fields.

    Text of clients is quoted as in JSON where it is not plain, so that it cannot steer the terminal.
    """
    fields = json.loads(line)
    if fields.get("event") == "request":
        happened = f"{fields['method']} {fields['route']} {fields['status']} in {1000 * fields['duration']:.0f} ms"
    else:
        happened = _plain(fields.get("message", ""))
    more = [f"{name}={_plain(value)}" for name, value in fields.items() if name not in SHOWN_FIRST]
    words = [fields["time"][11:19], f"{fields['level']:<7}", happened, *more]
    return "\n".join([" ".join(words), *map(_plain, fields.get("exc_info", "").splitlines())])


def _plain(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else json.dumps(text)
