"""E-mails: rendered from the outbox and sent by SMTP."""
