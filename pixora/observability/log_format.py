"""The format of log lines, for gunicorn's master and for the application.

The master loads this file by its path, so it must import nothing of the application, see gunicorn.conf.py.
"""

from pythonjsonlogger.json import JsonFormatter


class LineFormatter(JsonFormatter):
    """JSON: `time` (in UTC), `level`, `logger`, `message`, the fields of `extra`, and the exception as `exc_info`."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )
