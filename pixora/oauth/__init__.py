"""The endpoints of the OAuth standards: tokens (RFC 6749), revocation (RFC 7009), introspection (RFC 7662)."""
