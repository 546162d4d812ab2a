"""`/api/users`: a user's own account."""
