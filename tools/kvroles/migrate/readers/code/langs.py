"""What the trees of Python, Go and Rust call the same things."""

from __future__ import annotations

from typing import NamedTuple


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
    group: frozenset[str] = frozenset()  # declarations in brackets


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
        group=_f("var_spec_list", "const_declaration"),
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
        sequence=_f("array_expression", "tuple_expression", "token_tree", "arguments"),
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
    loop=_f("for_in_statement", "for_statement"),
    block=_f("statement_block", "class_body", "program"),
    through=_f(
        "parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression", "await_expression"
    ),
)
SPECS |= {name: _JAVASCRIPT._replace(grammar=name) for name in ("javascript", "typescript", "tsx")}
