"""The connection to MongoDB, its indexes, and what its failures mean."""
