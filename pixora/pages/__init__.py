"""The HTML pages that the links in our e-mails open."""
