"""Pixora measured side by side with what it replaces: `benchmarks/run`."""
