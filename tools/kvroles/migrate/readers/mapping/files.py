"""Files that data holds: a text whose key is a file's name, or beside which the path stands that it is written to."""

from __future__ import annotations

from kvroles.evidence.data import Map, Node, Scalar
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import registry, sniff

# The keys of a file's text, and those beside it that say where it is written: cloud-init, Ansible, Terraform, Nomad.
_TEXTS = frozenset({"content", "contents", "data", "inline", "embedded_tmpl"})
_PATHS = ("path", "dest", "destination", "filename", "file")
_SUFFIXED = regex(r"\w\.[a-z]{1,5}$")
_FILE = regex(r"\w\.[a-z][a-z\d]{0,8}(?:\.j2)?$")
_MODULE = regex(r"[a-z]\w*(?:\.[a-z]\w*){2,}")  # Ansible's ``ansible.builtin.shell``
_SHOWN = frozenset({"json", "yaml"})  # by the text itself, whatever its name


def written(owner: Map, key: str) -> str:
    """The name of the file that the text under ``key`` is written to, as the pairs beside it say; empty if they say none."""
    beside = (owner.scalar(k) for k in _PATHS) if key in _TEXTS else ()
    path = next((path for path in beside if path is not None), "")
    name = path.rsplit("/", 1)[-1]
    return name if _FILE.search(name) else ""


def language(leaf: Scalar, path: list[Node]) -> str:
    """The language in which the scalar at the end of ``path`` is to be read: that of the file that it is, or ``string``.

    Of a file that no reader knows it is ``unknown``.
    """
    owner = path[-2] if len(path) > 1 else None
    if "\n" not in leaf.value or not isinstance(owner, Map) or (pair := owner.pair_of(leaf)) is None:
        return "string"
    beside = (owner.scalar(key) for key in _PATHS) if pair[0].value in _TEXTS else ()
    for name in (pair[0].value, *(path for path in beside if path is not None)):
        if lang := registry.lang_of_name(name):
            return lang
        if _MODULE.fullmatch(name):
            continue
        if _SUFFIXED.search(name) and registry.named_for_another(name) and sniff.language(leaf.value) not in _SHOWN:
            return "unknown"
    return "string"
