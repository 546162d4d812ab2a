"""The user document, and everything that reads or writes it."""
