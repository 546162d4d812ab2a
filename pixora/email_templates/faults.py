"""The faults of templates."""


class TemplateFault(Exception):
    """A template cannot be used. The message is a sentence that names the file and, where there is one, the line."""

    def __init__(self, file: object, line: int | None, sentence: str) -> None:
        place = f"{file}, line {line}" if line else f"{file}"
        super().__init__(f"{place}: {sentence}")
