"""Access tokens, refresh tokens, one-time tokens, and their keys."""
