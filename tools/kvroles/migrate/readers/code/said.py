"""What a comment, a docstring or a print says right before a statement, pair or element, and a comment behind it on its line."""

from __future__ import annotations

import re

from tree_sitter import Node

from kvroles.evidence import comments, kinds
from kvroles.evidence.frames import Cue, Scope
from kvroles.evidence.patterns import regex
from kvroles.evidence.phrases import announces, past
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code.conditionals import Conditionals

SAYS = regex(r"^(?:print|logger\.info|logging\.info|log\.info|log\.Print\w*|fmt\.Print\w*|println|info)!?$")


class Said(Conditionals):
    """A source text whose comments and prints say of what is right below them."""

    def _before(self, block: Node, inner: Node, up: Scope) -> Scope:
        """The scope of the comment or print right before the statement, pair or element ``inner``; ``up`` without one.

        A comment further up counts if only plain statements of the same paragraph stand in between, and if it announces
        what follows ("Start the prefill worker"). A blank line, a definition or another config ends the search.
        """
        follow = inner.next_named_sibling
        if follow is not None and follow.type in self.spec.comment and follow.start_point[0] == inner.end_point[0]:
            text = grammar.text(self.t, follow).lstrip("#/*! ").rstrip("*/ \n")
            if cues := comments.said([(self.t.at(follow.start_byte), text)], self.ctx):
                up = Scope("line", "", up, cues)
        node = self._previous(inner, block)
        below, crossed = inner.start_byte, False
        for _ in range(12):
            if node is None or node.end_byte > below:
                break
            source = grammar.text(self.t, node)
            gap = self.t.s[node.end_byte - source.endswith("\n") : below]
            said, kind = self._said(node, source)
            if gap.count("\n") > 1 and (crossed or not said):
                break
            if said and kind is kinds.COMMENT and comments.disabled(said.strip(), self.t.s, node.start_byte):
                break
            if said:
                first, cues = self._announced(node, said, kind, block)
                if cues and crossed and not announces(cues[0].words):
                    break
                if cues:
                    return Scope("block", "", up, cues)
                node = first
            elif (
                block.type not in self.spec.block
                or node.type in self.spec.function | self.spec.class_ | self.spec.loop | self.spec.branch
                or re.search("kv_both|kv_producer|kv_consumer|vllm", source)
            ):
                break
            crossed = crossed or not said
            below, node = node.start_byte, self._previous(node, block)
        return up

    def _announced(self, node: Node, said: str, kind: kinds.Kind, block: Node) -> tuple[Node, list[Cue]]:
        """The first node of the run of comments that ends with ``node``, which says ``said``, and the cue that they give. A print
        or a docstring is a run by itself."""
        if kind is not kinds.COMMENT:
            side = None if kind is kinds.PRINT and past(said) else self.ctx.title_side(said)
            return node, [kind.cue(side, said.strip()[:80], self.t.at(node.start_byte))] if side is not None else []
        lines = [(self.t.at(node.start_byte), said)]
        while (above := self._previous(node, block)) is not None and above.end_point[0] + 1 >= node.start_point[0]:
            text, its = self._said(above, grammar.text(self.t, above))
            if its is not kinds.COMMENT or not text.strip():
                break
            node = above
            lines.insert(0, (self.t.at(node.start_byte), text))
        return node, comments.said(lines, self.ctx)

    def _previous(self, node: Node, block: Node) -> Node | None:
        """The named node before ``node``; None without one.

        Python's and Go's grammars put the first comments of a body before the body: these are found too.
        """
        before = node.prev_named_sibling
        if before is None and node.parent == block and block.type in {"block", "statement_list"}:
            before = block.prev_sibling
            return before if before is not None and before.type in self.spec.comment else None
        return before

    def _said(self, node: Node, source: str) -> tuple[str, kinds.Kind]:
        """What a comment on a line of its own, a docstring or a print says, and its kind; an empty string for any other node."""
        if node.type in self.spec.comment:
            alone = self.t.s[self.t.s.rfind("\n", 0, node.start_byte) + 1 : node.start_byte].strip() == ""
            text = source.lstrip("#/*! ").rstrip("*/ \n")
            return (text if alone and "kv_both" not in text else " ", kinds.COMMENT)
        if node.type == "expression_statement" and (
            doc := re.fullmatch(r"[rR]?(\"\"\"|\"|'''|')(.*?)\1", source, re.S)
        ):
            return doc.group(2).strip().split("\n", 1)[0], kinds.DOCSTRING
        m = re.match(r"([\w.!]+)\((.*)\)$", source, re.S) if node.type == "expression_statement" else None
        if m and SAYS.match(m.group(1)):
            return m.group(2).strip("f\"'`") or " ", kinds.PRINT
        return "", kinds.COMMENT
