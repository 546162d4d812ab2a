"""How a log line is formatted, for gunicorn's master and the application alike.

The master loads this alone and by its path, so it must import nothing of the application, see gunicorn.conf.py.
"""

from pythonjsonlogger.json import JsonFormatter


class LineFormatter(JsonFormatter):
    """`time` (in UTC), `level`, `logger`, `message`, what `extra` gave, and `exc_info` where there is one."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )
