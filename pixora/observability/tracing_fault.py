"""What is wrong with the variables of OpenTelemetry."""


class TracingFault(Exception):
    """OpenTelemetry's SDK cannot use one of the variables that it reads itself. The message is the SDK's."""
