"""A role, or a whole config, that is only set unless another is given: ``${KV_ROLE:-kv_both}``,
``{{ kv_role | default('kv_both') }}``, ``${KV:-{...}}``."""

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

_OBJECT = regex(
    rf"(?s)\s*(?:(?P<key>[A-Za-z_][\w.-]*)=)?{_Q}\$\{{(?P<name>\w+):?[-=]{_Q}(?P<object>\{{\s*\\*[\"'].*\}}){_Q}\}}{_Q}\s*"
)


def object_of(value: str) -> tuple[list[str], int, int] | None:
    """The names that the object goes by which ``value`` is unless another is given, outermost first (``KV=${X:-{...}}`` has two),
    and its span. None if it is no such value."""
    m = _OBJECT.fullmatch(value) if "${" in value and "{" in value[2:] else None
    return ([n for n in (m["key"], m["name"]) if n], *m.span("object")) if m is not None else None


def variable_of(value: str) -> str | None:
    """The variable in whose place ``value`` is ``kv_both`` unless it is set; None if it is no such value."""
    m = _WHOLE.match(value)
    return next((g for g in m.groups() if g), None) if m is not None else None
