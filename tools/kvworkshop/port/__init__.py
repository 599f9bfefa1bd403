"""A new release: survey, variants, lock rows."""
