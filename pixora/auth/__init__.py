"""Signing up and logging in."""
