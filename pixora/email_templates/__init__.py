"""The templates of e-mails, ours and the operator's: found by language, checked at start-up, rendered in a sandbox."""
