"""Users: their profiles, and the documents these are kept in."""
