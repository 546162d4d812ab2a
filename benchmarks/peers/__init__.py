"""What Pixora is measured against: small services that do the same work on the same mongod, each with its own stack."""
