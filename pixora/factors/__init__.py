"""The second factor: codes of an authenticator app (TOTP, RFC 6238) and recovery codes.

A login asks `pixora.factors.second_factor`, which comes before `pixora.auth`; the routes come after it. Without
`DATA_KEYS` nobody can enrol, and there are no routes but one: administrators reset passkeys by it as well.
"""
