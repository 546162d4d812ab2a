"""Operators' commands beside the service: upgrade an old database, diagnose a deployment, manage keys."""
