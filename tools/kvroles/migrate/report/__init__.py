"""The report in its forms: text for people, JSON, SARIF and GitHub annotations for machines, patches, tables, a page."""

SCHEMA = 3  # the version of the JSON report, and of an error in its place
