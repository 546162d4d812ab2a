"""What an operator runs beside the service: taking over an old database, and finding out what is wrong."""
