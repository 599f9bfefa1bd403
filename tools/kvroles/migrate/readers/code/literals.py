"""Decodes string literals, and the texts that code makes of them by ``+``, ``%``, ``format``, ``Sprintf`` and f-strings."""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, join
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code.langs import Spec

Named = Callable[[str], Node | None]  # from a name to the node of the one string that it is set to

_ESC = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "0": "\0",
    "`": "`",
    "$": "$",
}
_HOLES = frozenset({"interpolation", "template_substitution"})
_CHOICES = frozenset({"conditional_expression", "ternary_expression", "boolean_operator"})
_ARGUMENTS = frozenset({"argument_list", "arguments", "token_tree"})
# What may stand between a value and the text that it is put into.
_BETWEEN = (
    _HOLES | _CHOICES | _ARGUMENTS | {"tuple", "keyword_argument", "dictionary", "pair", "attribute", "literal_element"}
)
_PERCENT = regex(r"%(?:%|(?:\((\w+)\))?[-+ #0]*\d*(?:\.\d+)?([sdvqrif]))")
_BRACES = regex(r"\{\{|\}\}|\{([\w.]*)[^{}\n]{0,20}\}")


def _no_name(_: str) -> Node | None:
    return None


def literal(t: Text, node: Node, spec: Spec, focus: int = -1, named: Named = _no_name) -> Text:
    """The text that a string, or an expression of strings, evaluates to; each character keeps its place in ``t``.

    A value that is put in and not known stands as ``${name}``. Where the code chooses between values, the one that holds
    index ``focus`` is taken.
    """
    if node.type in spec.string:
        return _string(t, node, spec, focus, named)
    if (given := _format(t, node, spec, named)) is not None:
        return _filled(t, *given, spec, focus, named)
    if node.type in spec.joined:
        return join(literal(t, c, spec, focus, named) for c in node.named_children if c.type not in spec.comment)
    if node.start_byte <= focus < node.end_byte and (node.type in _BETWEEN | spec.through or _falls_back(t, node)):
        held = [c for c in node.named_children if c.start_byte <= focus < c.end_byte]
        if held:
            return literal(t, held[0], spec, focus, named)
    return _hole(t, node.start_byte, node.end_byte)


def around(t: Text, node: Node, spec: Spec, named: Named = _no_name) -> tuple[Node, bool]:
    """The outermost expression that makes a text with the string ``node`` in it, ``node`` itself if there is none; and whether
    ``node`` is put into it by interpolation, or is one of the values that it chooses between."""
    top, chosen, choice = node, False, False
    inner = node
    for owner in grammar.owners(node):
        if owner is node or owner == node:
            continue
        if _makes(t, owner, spec, named):
            top, chosen, choice = owner, chosen or choice, False
        elif owner.type in _CHOICES or _falls_back(t, owner):
            if not _is_value(owner, inner):
                break
            choice = True
        elif owner.type not in _BETWEEN | spec.through:
            break
        choice = choice or owner.type in _HOLES
        inner = owner
    return top, chosen


def makes_text(t: Text, node: Node, spec: Spec, named: Named = _no_name) -> bool:
    """Whether a node is a string, or an expression that makes a string of strings."""
    return node.type in spec.string or _makes(t, node, spec, named)


def _makes(t: Text, node: Node, spec: Spec, named: Named) -> bool:
    if node.type in spec.string or _format(t, node, spec, named) is not None:
        return True
    if node.type not in spec.joined:
        return False
    operator = node.child_by_field_name("operator")
    if operator is not None and grammar.text(t, operator) != "+":
        return False
    return any(c.type in spec.string or _makes(t, c, spec, named) for c in node.named_children)


def _is_value(choice: Node, inner: Node) -> bool:
    """Whether ``inner`` is one of the values of a choice, and not its condition."""
    if choice.type == "conditional_expression":
        return choice.named_child_count == 3 and choice.named_children[1] != inner
    if choice.type == "ternary_expression":
        return choice.child_by_field_name("condition") != inner
    return choice.child_by_field_name("right") == inner


def _falls_back(t: Text, node: Node) -> bool:
    operator = node.child_by_field_name("operator") if node.type in {"boolean_operator", "binary_expression"} else None
    return operator is not None and grammar.text(t, operator) in {"or", "||", "??"}


def _format(t: Text, node: Node, spec: Spec, named: Named) -> tuple[Node, str, list[Node]] | None:
    """The parts of an expression that formats a string: its template, how its fields are written (``%`` or ``{``), its
    arguments. None for any other expression."""
    template: Node | None = None
    given: Node | None = None
    how = "%"
    if node.type == "binary_operator":
        operator = node.child_by_field_name("operator")
        if operator is None or grammar.text(t, operator) != "%":
            return None
        template, given = node.child_by_field_name("left"), node.child_by_field_name("right")
        held = list(given.named_children) if given is not None and given.type in {"tuple", "dictionary"} else [given]
    elif node.type == "call":
        called = node.child_by_field_name("function")
        member = called.child_by_field_name("attribute") if called is not None and called.type == "attribute" else None
        if called is None or member is None or grammar.text(t, member) != "format":
            return None
        template, given, how = called.child_by_field_name("object"), node.child_by_field_name("arguments"), "{"
        held = list(given.named_children) if given is not None else []
    elif node.type == "call_expression":
        called, given = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if called is None or given is None or grammar.text(t, called) != "fmt.Sprintf":
            return None
        held = list(given.named_children)
        template, held = (held[0], held[1:]) if held else (None, [])
    elif node.type == "macro_invocation":
        name = node.child_by_field_name("macro")
        given = next((c for c in node.children if c.type == "token_tree"), None)
        if name is None or given is None or grammar.text(t, name) != "format":
            return None
        held, how = [c for c in given.named_children if c.type not in spec.comment], "{"
        template, held = (held[0], held[1:]) if held else (None, [])
    else:
        return None
    template = grammar.unwrapped(template, spec.through) if template is not None else None
    if template is not None and template.type == "identifier":
        template = named(grammar.text(t, template))
    if template is None or not (template.type in spec.string or template.type in spec.joined):
        return None
    return template, how, [c for c in held if c is not None]


def _filled(t: Text, template: Node, how: str, held: list[Node], spec: Spec, focus: int, named: Named) -> Text:
    form = literal(t, template, spec, focus)
    by_name: dict[str, Node] = {}
    in_turn: list[Node] = []
    skip = False
    for n, c in enumerate(held):
        if skip:
            skip = False
            continue
        key = c.child_by_field_name("key") or c.child_by_field_name("name")
        value = c.child_by_field_name("value")
        if c.type in {"pair", "keyword_argument"} and key is not None and value is not None:
            by_name[grammar.text(t, key).strip("\"'")] = value
        elif spec.grammar == "rust" and n + 1 < len(held) and "=" in t.s[c.end_byte : held[n + 1].start_byte]:
            by_name[grammar.text(t, c)] = held[n + 1]
            skip = True
        else:
            in_turn.append(c)
    parts: list[Text] = []
    at = turn = 0
    for m in (_PERCENT if how == "%" else _BRACES).finditer(form.s):
        parts.append(form.slice(at, m.start()))
        at = m.end()
        if m.group() in {"%%", "{{", "}}"}:
            parts.append(form.slice(m.start(), m.start() + 1))
            continue
        name = m.group(1) or ""
        if name.isdigit():
            node = in_turn[int(name)] if int(name) < len(in_turn) else None
        elif name:
            node = by_name.get(name)
        else:
            node = in_turn[turn] if turn < len(in_turn) else None
            turn += 1
        put = literal(t, node, spec, focus, named) if node is not None else _named_hole(form, m, name)
        quoted = how == "%" and m.group(2) == "q"
        parts += [Text('"', put.at(0)), put, Text('"', put.at(0))] if quoted else [put]
    parts.append(form.slice(at, len(form.s)))
    return join(parts)


def _named_hole(form: Text, m: re.Match[str], name: str) -> Text:
    word = "${" + (re.sub(r"\W", "_", name) or "_") + "}"
    return form.pick(word, [m.start()] * len(word), m.end())


def _string(t: Text, node: Node, spec: Spec, focus: int, named: Named) -> Text:
    def put(hole: Node) -> Text:
        if hole.start_byte <= focus < hole.end_byte and hole.named_children:
            return literal(t, hole.named_children[0], spec, focus, named)
        return _hole(t, hole.start_byte + (hole.type == "template_substitution"), hole.end_byte)

    s = t.s
    a, b = node.start_byte, node.end_byte
    if spec.grammar == "python":
        return _python(t, node, put)
    if node.type == "template_string":
        return _template(t, node, put)
    if node.type == "raw_string_literal":
        if spec.grammar == "go":
            return t.slice(a + 1, b - 1)
        m = re.match(r'b?r(#*)"', s[a:b])
        hashes = len(m.group(1)) if m else 0
        return t.slice(a + (m.end() if m else 1), b - 1 - hashes)
    start = a + (2 if s[a] in "bc" else 1)
    return t.decoded(start, b - 1, _escape)


def _python(t: Text, node: Node, put: Callable[[Node], Text]) -> Text:
    parts: list[Text] = []
    prefix = ""
    for c in node.children:
        if c.type == "string_start":
            prefix = t.s[c.start_byte : c.end_byte].rstrip("\"'").lower()
        elif c.type == "string_content":
            raw = "r" in prefix
            if "f" in prefix:
                parts += _f_string(t, c, raw)
            else:
                parts.append(t.slice(c.start_byte, c.end_byte) if raw else t.decoded(c.start_byte, c.end_byte, _escape))
        elif c.type == "interpolation":
            parts.append(put(c))
    return join(parts) if parts else t.slice(node.end_byte, node.end_byte)


def _template(t: Text, node: Node, put: Callable[[Node], Text]) -> Text:
    """JavaScript's string in back quotes; ``put`` gives the text of each substitution."""
    parts: list[Text] = []
    at = node.start_byte + 1
    for c in node.children:
        if c.type == "template_substitution":
            parts += [t.decoded(at, c.start_byte, _escape), put(c)]
            at = c.end_byte
    return join([*parts, t.decoded(at, max(at, node.end_byte - 1), _escape)])


def _f_string(t: Text, node: Node, raw: bool) -> list[Text]:
    """The text between the holes of an f-string, ``{{`` and ``}}`` decoded to one brace."""
    out: list[Text] = []
    i, b = node.start_byte, node.end_byte
    for m in re.finditer(r"\{\{|\}\}", t.s[i:b]):
        at = node.start_byte + m.start()
        out.append(t.slice(i, at) if raw else t.decoded(i, at, _escape))
        out.append(t.slice(at, at + 1))
        i = at + 2
    out.append(t.slice(i, b) if raw else t.decoded(i, b, _escape))
    return out


def _hole(t: Text, a: int, b: int) -> Text:
    """An interpolated expression written as a shell variable, which every reader takes for a placeholder."""
    source = re.sub(r"\[[\"']([\w-]+)[\"']\]", r"_\1", t.s[a:b].strip("{}"))
    word = re.sub(r"[^\w]", "_", source)[:60] or "_"
    return t.pick("${" + word + "}", [a] * (len(word) + 3), b)


def _escape(s: str, i: int) -> tuple[str, int, int]:
    nxt = s[i + 1]
    if nxt == "\n":
        return "", i, i + 2
    if nxt in "xuU" and (m := re.match(r"[0-9A-Fa-f]{2,8}", s[i + 2 : i + 2 + {"x": 2, "u": 4, "U": 8}[nxt]])):
        code = int(m.group(), 16)
        return chr(code) if code < 0x110000 else "?", i, i + 2 + m.end()
    return _ESC.get(nxt, "\\" + nxt), i, i + 2
