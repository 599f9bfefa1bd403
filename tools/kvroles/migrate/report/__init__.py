"""The report in its forms: text for people, JSON, SARIF and GitHub annotations for machines, patches."""
