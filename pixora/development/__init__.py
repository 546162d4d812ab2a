"""What only development has: a landing page at `/` for browsers, and the outbox as a page."""
