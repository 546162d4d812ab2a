"""The password policy, password hashes, and the queue in which they are computed.

Changing a password is in `pixora.users.password`, resetting one in `pixora.auth.recovery`, checking one in
`pixora.auth.credentials`.
"""
