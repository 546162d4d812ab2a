"""Pages: what the links in letters lead to. Plain forms, which work without JavaScript."""
