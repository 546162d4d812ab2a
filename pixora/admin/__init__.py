"""The administration of users: `/api/admin` and the `users` commands."""
