"""What the trees of Python, Go and Rust call the same things, and how their string literals decode."""

from __future__ import annotations

import re
from typing import NamedTuple

from tree_sitter import Node

from kvroles.evidence.text import Text, join


class Spec(NamedTuple):
    """Node types of one grammar."""

    grammar: str
    comment: frozenset[str]
    string: frozenset[str]
    joined: frozenset[str]  # several literals that make one
    function: frozenset[str]
    class_: frozenset[str]
    call: frozenset[str]
    pair: frozenset[str]  # key and value
    mapping: frozenset[str]  # holds pairs
    sequence: frozenset[str]
    assign: frozenset[str]
    branch: frozenset[str]
    case: frozenset[str]
    else_: frozenset[str]
    loop: frozenset[str]
    block: frozenset[str]
    through: frozenset[str]  # wraps a value and nothing more


def _f(*names: str) -> frozenset[str]:
    return frozenset(names)


SPECS: dict[str, Spec] = {
    "python": Spec(
        grammar="python",
        comment=_f("comment"),
        string=_f("string"),
        joined=_f("concatenated_string", "binary_operator"),
        function=_f("function_definition"),
        class_=_f("class_definition"),
        call=_f("call"),
        pair=_f("pair", "keyword_argument", "default_parameter", "typed_default_parameter"),
        mapping=_f("dictionary", "argument_list", "parameters"),
        sequence=_f("list", "tuple"),
        assign=_f("assignment", "augmented_assignment"),
        branch=_f("if_statement", "elif_clause", "conditional_expression"),
        case=_f("case_clause"),
        else_=_f("else_clause"),
        loop=_f("for_statement", "list_comprehension"),
        block=_f("block", "module"),
        through=_f("parenthesized_expression", "await"),
    ),
    "go": Spec(
        grammar="go",
        comment=_f("comment"),
        string=_f("interpreted_string_literal", "raw_string_literal"),
        joined=_f("binary_expression"),
        function=_f("function_declaration", "method_declaration"),
        class_=_f(),
        call=_f("call_expression"),
        pair=_f("keyed_element"),
        mapping=_f("literal_value"),
        sequence=_f("literal_value", "argument_list"),
        assign=_f("short_var_declaration", "assignment_statement", "var_spec", "const_spec"),
        branch=_f("if_statement"),
        case=_f("expression_case"),
        else_=_f(),
        loop=_f("for_statement"),
        block=_f("block", "statement_list", "source_file"),
        through=_f("literal_element", "expression_list", "parenthesized_expression"),
    ),
    "rust": Spec(
        grammar="rust",
        comment=_f("line_comment", "block_comment"),
        string=_f("string_literal", "raw_string_literal"),
        joined=_f(),
        function=_f("function_item"),
        class_=_f("impl_item", "mod_item"),
        call=_f("call_expression", "macro_invocation"),
        pair=_f("field_initializer"),
        mapping=_f("field_initializer_list"),
        sequence=_f("array_expression", "token_tree", "arguments"),
        assign=_f("let_declaration", "const_item", "static_item", "assignment_expression"),
        branch=_f("if_expression"),
        case=_f("match_arm"),
        else_=_f("else_clause"),
        loop=_f("for_expression"),
        block=_f("block", "source_file"),
        through=_f("field_expression", "reference_expression", "parenthesized_expression"),
    ),
}

_JAVASCRIPT = Spec(
    grammar="javascript",
    comment=_f("comment"),
    string=_f("string", "template_string"),
    joined=_f("binary_expression"),
    function=_f("function_declaration", "function_expression", "arrow_function", "method_definition"),
    class_=_f("class_declaration"),
    call=_f("call_expression", "new_expression"),
    pair=_f("pair"),
    mapping=_f("object"),
    sequence=_f("array", "arguments"),
    assign=_f("variable_declarator", "assignment_expression", "field_definition", "public_field_definition"),
    branch=_f("if_statement", "ternary_expression"),
    case=_f("switch_case"),
    else_=_f("else_clause"),
    loop=_f("for_in_statement"),
    block=_f("statement_block", "class_body", "program"),
    through=_f(
        "parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression", "await_expression"
    ),
)
SPECS |= {name: _JAVASCRIPT._replace(grammar=name) for name in ("javascript", "typescript", "tsx")}

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


def literal(t: Text, node: Node, spec: Spec) -> Text:
    """The value of a string literal, or of several joined; what is interpolated stands as ``$name``."""
    if node.type in spec.joined:
        parts = [
            c
            for c in node.children
            if c.type in spec.string | spec.joined | {"identifier", "call", "parenthesized_expression"}
        ]
        return join(
            literal(t, p, spec) if p.type in spec.string | spec.joined else _hole(t, p.start_byte, p.end_byte)
            for p in parts
        )
    s = t.s
    a, b = node.start_byte, node.end_byte
    if spec.grammar == "python":
        return _python(t, node)
    if node.type == "template_string":
        return _template(t, node)
    if node.type == "raw_string_literal":
        if spec.grammar == "go":
            return t.slice(a + 1, b - 1)
        m = re.match(r'b?r(#*)"', s[a:b])
        hashes = len(m.group(1)) if m else 0
        return t.slice(a + (m.end() if m else 1), b - 1 - hashes)
    start = a + (2 if s[a] in "bc" else 1)
    return _decode(t, start, b - 1)


def _python(t: Text, node: Node) -> Text:
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
                parts.append(t.slice(c.start_byte, c.end_byte) if raw else _decode(t, c.start_byte, c.end_byte))
        elif c.type == "interpolation":
            parts.append(_hole(t, c.start_byte, c.end_byte))
    return join(parts) if parts else t.slice(node.end_byte, node.end_byte)


def _template(t: Text, node: Node) -> Text:
    """JavaScript's string in back quotes."""
    parts: list[Text] = []
    at = node.start_byte + 1
    for c in node.children:
        if c.type == "template_substitution":
            parts += [_decode(t, at, c.start_byte), _hole(t, c.start_byte + 1, c.end_byte)]
            at = c.end_byte
    return join([*parts, _decode(t, at, max(at, node.end_byte - 1))])


def _f_string(t: Text, node: Node, raw: bool) -> list[Text]:
    """The plain stretches of an f-string, ``{{`` and ``}}`` being one brace."""
    out: list[Text] = []
    i, b = node.start_byte, node.end_byte
    for m in re.finditer(r"\{\{|\}\}", t.s[i:b]):
        at = node.start_byte + m.start()
        out.append(t.slice(i, at) if raw else _decode(t, i, at))
        out.append(t.slice(at, at + 1))
        i = at + 2
    out.append(t.slice(i, b) if raw else _decode(t, i, b))
    return out


def _hole(t: Text, a: int, b: int) -> Text:
    """An interpolated expression, as a shell would write it, so that every reader takes it for a placeholder."""
    word = re.sub(r"[^\w]", "_", t.s[a:b].strip("{}"))[:60] or "_"
    return t.pick("${" + word + "}", [a] * (len(word) + 3), b)


def _decode(t: Text, a: int, b: int) -> Text:
    s = t.s
    if "\\" not in s[a:b]:
        return t.slice(a, b)
    out: list[str] = []
    at: list[int] = []
    i = a
    while i < b:
        if s[i] == "\\" and i + 1 < b:
            nxt = s[i + 1]
            if nxt == "\n":
                i += 2
                continue
            if nxt in "xuU" and (m := re.match(r"[0-9A-Fa-f]{2,8}", s[i + 2 : i + 2 + {"x": 2, "u": 4, "U": 8}[nxt]])):
                code = int(m.group(), 16)
                out.append(chr(code) if code < 0x110000 else "?")
                at.append(i)
                i += 2 + m.end()
                continue
            out.append(_ESC.get(nxt, "\\" + nxt))
            at.extend([i] * len(out[-1]))
            i += 2
        else:
            out.append(s[i])
            at.append(i)
            i += 1
    return t.pick("".join(out), at, b)
