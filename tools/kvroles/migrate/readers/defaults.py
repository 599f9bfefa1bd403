"""A role that is only set unless another is given: ``${KV_ROLE:-kv_both}``, ``{{ kv_role | default('kv_both') }}``."""

from __future__ import annotations

from kvroles.evidence.patterns import regex

_Q = r"\\*[\"']?"
_WHOLE = regex(
    rf"""(?x)^\s* (?:
      \$\{{ (?P<shell>[\w.]+) :?[-=]? {_Q}kv_both{_Q} \}}
    | \{{\{{-?\s* (?P<piped>[\w.$\[\]"']+) \s*\|\s* (?:d|default)\b [\s(]* {_Q}kv_both{_Q} \s* (?:,\s*[Tt]rue\s*)? \)? \s*-?\}}\}}
    | \{{\{{-?\s* default \s+ {_Q}kv_both{_Q} \s+ \(?(?P<go>[\w.$]+)\)? [^{{}}]*\}}\}}
    | \{{\{{-?\s* (?P<or>[\w.]+) \s+or\s+ {_Q}kv_both{_Q} \s*-?\}}\}}
    ) \s*$"""
)


def variable_of(value: str) -> str | None:
    """The variable in whose place ``value`` is ``kv_both`` unless it is set; None if it is no such value."""
    m = _WHOLE.match(value)
    return next((g for g in m.groups() if g), None) if m is not None else None
