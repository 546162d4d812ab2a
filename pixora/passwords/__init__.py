"""The password policy, password hashes, and the queue in which they are computed."""
