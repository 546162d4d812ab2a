"""Mail: the letters of the outbox, written out and handed to an SMTP server."""
