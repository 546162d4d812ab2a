"""Importing users of other systems, many at once, with their password hashes."""
