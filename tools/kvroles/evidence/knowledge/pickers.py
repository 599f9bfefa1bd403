"""Functions and tags that are given a condition and two values, and give the first where the condition holds."""

PICKERS = frozenset(
    {"if", "fn::if", "where", "pick", "choose", "select", "ternary", "iif", "ifelse", "if_else", "cond", "either"}
)
