"""Health, documentation, well-known documents and the metrics endpoint."""
