"""YAML files, and templates that are YAML once they are rendered."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import partial

from kvroles.evidence import comments, kinds, marks, pickers
from kvroles.evidence.data import Map, Node, Scalar, path_to
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import lines, pairs
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.mapping import lists, objects
from kvroles.migrate.readers.mapping.remarks import opens_line
from kvroles.migrate.readers.mapping.tree import Tree
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.readers.template import branches as branches_of
from kvroles.migrate.readers.template import expression
from kvroles.migrate.readers.yaml import events as yaml_read
from kvroles.migrate.readers.yaml import outline


class _Yaml:
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in YAML text, templates included."""
        return _read(text, owner, file)

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The owners of the scalar at ``at`` with what its line says, or those of the template's action there; None elsewhere."""
        trees = file.kept("yaml", text, owner, lambda: _bare_trees(text, owner, file))
        for tree in trees:
            if tree.root.start <= at < tree.root.end:
                path = path_to(tree.root, at)
                scope = tree.scopes(path, follow=False)
                if isinstance(path[-1], Scalar):
                    return lines.owner(text, at, scope, file)
                if any(a <= at < b for a, b in template.actions(text.s)):
                    return scope
                break
        return None


def _bare_trees(t: Text, up: Scope, ctx: File) -> list[Tree]:
    source = t.same_places(template.mask(t.s)) if template.is_template(t) else t
    return [Tree(root, source, up, ctx, True) for root in roots(source)]


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    source, branches = t, []
    if template.is_template(t):
        branches = template.branches(t.s)
        source = t.same_places(template.mask(t.s))
    trees: list[Tree] = []
    owner = partial(_branch, t, trees, up, ctx)
    for root in roots(source):
        trees.append(Tree(root, source, up, ctx, True, branches, owner, trees))
    out: list[Site] = [site for tree in trees for site in tree.sites()]
    known = {s.pos for s in out}
    actions = template.actions(t.s) if source is not t else []
    unread = _Unread(t, up, ctx)
    for i in t.tokens():
        if t.at(i) in known:
            continue
        n = bisect_right(actions, (i, len(t.s) + 1)) - 1
        action = actions[n] if n >= 0 and i < actions[n][1] else None
        if action is not None:
            out += _in_action(t, i, action, trees, up, ctx)
        elif marks.commented(t.s, i, "yaml"):
            out.append(Site(t.at(i), up, "comment"))
        else:
            out.append(_in_branch(t, i, branches, trees, up, ctx) or unread.site(i))
    return out


def _in_branch(
    t: Text, i: int, branches: list[template.Branch], trees: list[Tree], up: Scope, ctx: File
) -> Site | None:
    """The site of a role in a branch that is one object, or stands on one line: ``{{ define "kv" }}{...}{{ end }}``,
    ``kv: {{ if ... }}'{...}'{{ else }}'{...}'{{ end }}``."""
    own = next(reversed(template.nest(t.s).around(i)), None) if branches else None
    if own is None or "{" not in t.s[own.start : i]:
        return None
    body = t.s[own.start : own.end]
    if "\n" in body and not (body.lstrip().startswith("{") and body.rstrip().endswith("}")):
        return None
    found = ctx.read(t.slice(own.start, own.end), _chain_at(t, trees, i, up, ctx), "json")
    return next((site for site in found if site.pos == t.at(i) and site.kind == "role"), None)


def roots(t: Text) -> list[Node]:
    """The root nodes of text whose templates are masked: by the YAML parser, or where that fails by the tolerant reader."""
    try:
        found = yaml_read.documents(t)
    except yaml_read.NotYamlError:
        found = outline.documents(t)
    return [root for document in found for root in lists.documents(document)]


def _branch(t: Text, trees: list[Tree], top: Scope, ctx: File, b: template.Branch, up: Scope, source: Text) -> Scope:
    """The scope of a template's block ``b``; a named template, macro or ``set`` block has its uses looked up."""
    scope = branches_of.scope_of(b, up, source, ctx)
    if m := re.match(r"define\s+\"([^\"]+)\"|macro\s+(\w+)|set\s+(\w+)", b.condition):
        name = m.group(1) or m.group(2) or m.group(3)
        scope.kind, scope.name, scope.only_doubts = "template", name, True
        pattern = rf"\b(?:include|template|tpl)\s+\"{re.escape(name)}\"" if m.group(1) else rf"(?<![\w.]){name}\b"
        scope.find_uses = partial(_action_uses, t, name, pattern, (b.start, b.start), trees, top, ctx)
    return scope


class _Unread:
    """The sites of roles that are in no tree that was read: they are reported, never rewritten. Each line is read once."""

    def __init__(self, t: Text, up: Scope, ctx: File) -> None:
        self._t, self._up, self._ctx = t, up, ctx
        self._end = -1  # where the last line that was read ends
        self._roles: dict[int, Site] = {}  # those of that line, by place

    def site(self, i: int) -> Site:
        """The site of the token at ``i``: the role of an object on its line, else a value."""
        if i >= self._end:
            start = self._t.s.rfind("\n", 0, i) + 1
            end = self._t.s.find("\n", i)
            self._end = len(self._t.s) if end < 0 else end
            read = self._ctx.read(self._t.slice(start, self._end), self._up, "json")
            self._roles = {site.pos: site for site in read if site.kind == "role"}
        at = self._t.at(i)
        if (site := self._roles.get(at)) is None:
            return Site(at, self._up, "value")
        return Site(at, self._up, "role", site.connector, site.wrappers, site.extra, exact=False)


# -- inside template actions ------------------------------------------------------------------------------------------

_SET = regex(r"^\{%-?\s*set\s+(\w+)\s*=|^\{\{-?\s*(\$\w+)\s*:?=")
# An action that sets a variable to ``kv_both`` and nothing else.
_BARE = regex(rf"\{{[{{%]-?\s*(?:set\s+)?\$?\w+\s*:?=\s*[\"'`]({TOKEN})[\"'`]\s*-?[%}}]\}}")


_IN_DICT = regex(r"\bdict\s[^()]*\Z")


def _in_action(t: Text, i: int, action: tuple[int, int], trees: list[Tree], up: Scope, ctx: File) -> list[Site]:
    """The sites of the token at ``i`` in an ``action`` (its span): in a variable's value, a ``dict``, a default, a ``printf``."""
    body = t.slice(*action)
    k = i - action[0]
    if body.s.startswith(("{#", "{{/*", "{{- /*")):
        return [Site(t.at(i), up, "comment")]
    scope = _noted(t, action, _chain_at(t, trees, action[0], up, ctx), ctx)
    changed = expression.variable_set(body.s)
    if changed or ((m := _SET.match(body.s)) and (changed := m.group(1) or m.group(2))):
        scope = _variable(t, changed, action, trees, up, ctx)
    use = rf"\{{\{{[^{{}}]*(?<![\w.]){re.escape(changed)}\b[^{{}}]*\}}\}}"
    if (value := _BARE.match(body.s)) is not None and value.start(1) == k:
        return [Site(t.at(i), scope, "role", pairs.used_in(t, use), exact=t.exact(i, len(TOKEN)))]
    inner = body.slice(2, max(2, len(body.s) - 2))
    found: Node | None = objects.enclosing(inner, k - 2)
    quoted = re.match(r"[\"'`]", body.s[k + len(TOKEN) :]) and re.search(r"[\"'`]$", body.s[:k])
    alone = quoted and _IN_DICT.search(body.s, 0, k) is None
    if found is None and alone and pickers.ternary(body.s, k) is not None:
        return [_put(t, i, use if changed else "", trees, scope, scope)]
    if found is None and (found := expression.read(body)) is not None and changed and isinstance(found, Map):
        place = Scalar(Text("", body.at(0)), -1, -1)
        found.pairs += [
            (Scalar(Text(key, body.at(0)), -1, -1), Scalar(Text(value, place.text.at(0)), -1, -1))
            for key, value in expression.settings(t.s[slice(*_definition(t, i))], changed)
            if found.get(key) is None
        ]
    if found is not None:
        sites = [s for s in Tree(found, inner, scope, ctx).sites() if s.pos == t.at(i)]
        if sites and sites[0].kind == "value" and isinstance(found, Map) and _by_side(found, i - action[0] - 2, ctx):
            return [_put(t, i, use if changed else "", trees, scope, sites[0].scope)]
        if sites or not isinstance(found, Map):
            return sites or [Site(t.at(i), scope, "value")]
    return [_default(t, i, trees, scope)]


def _put(t: Text, i: int, use: str, trees: list[Tree], scope: Scope, own: Scope) -> Site:
    """The site of a value in an action that is put in where the action stands; ``own`` is its owner.

    With the pattern ``use`` the value goes into a variable instead, and the uses of that say the connector.
    """
    if use:
        connector = pairs.used_in(t, use)
        return Site(t.at(i), own, "role" if connector is not None else "value", connector, exact=t.exact(i, len(TOKEN)))
    return _default(t, i, trees, scope)._replace(scope=own)


def _by_side(table: Map, k: int, ctx: File) -> bool:
    """Whether the value at index ``k`` is an entry of a table of sides to roles."""
    key = next((key.value for key, v in table.pairs if v.start <= k < v.end), "")
    roles = {v.value for _, v in table.pairs if isinstance(v, Scalar)}
    return ctx.side_of(key) is not None and roles <= {TOKEN, "kv_producer", "kv_consumer"}


def _variable(t: Text, name: str, action: tuple[int, int], trees: list[Tree], up: Scope, ctx: File) -> Scope:
    """The scope of the template's variable ``name`` that ``action`` sets, with the owners of that place."""
    sides = ctx.sides_of(name.lstrip("$"))
    cues = [kinds.VARIABLE.cue(s, name, t.at(action[0])) for s in sides if len(sides) == 1]
    pattern = rf"(?<![\w.]){re.escape(name)}\b"
    within = [] if _is_alone(t.s, *action) else trees  # no part of the value above it, as YAML takes a blank line for
    around = _noted(t, action, _chain_at(t, within, action[0], up, ctx), ctx)
    return Scope(
        "variable", name, around, cues, find_uses=partial(_action_uses, t, name, pattern, action, trees, up, ctx)
    )


def _is_alone(s: str, a: int, b: int) -> bool:
    """Whether an action of this span has its lines for itself, a comment of the template's behind it aside."""
    end = s.find("\n", b)
    behind = s[b : end if end >= 0 else len(s)].strip()
    return opens_line(s, a) and (not behind or _NOTE.fullmatch(behind) is not None)


_NOTE = regex(r"\{#-?(.*?)-?#\}|\{\{-?\s*/\*(.*?)\*/\s*-?\}\}", re.S)


def _noted(t: Text, action: tuple[int, int], up: Scope, ctx: File) -> Scope:
    """The scope of a template comment on the line above an action, or behind it on its line; ``up`` without one."""
    a, b = action
    above = t.s[t.s.rfind("\n", 0, max(0, t.s.rfind("\n", 0, a))) + 1 : max(0, t.s.rfind("\n", 0, a))].strip()
    below = t.s.find("\n", b)
    for text in (above, t.s[b : below if below >= 0 else len(t.s)].strip()):
        if (m := _NOTE.fullmatch(text)) and (cues := comments.said([(t.at(a), m.group(1) or m.group(2) or "")], ctx)):
            up = Scope("line", "", up, cues)
    return up


def _chain_at(t: Text, trees: list[Tree], place: int, up: Scope, ctx: File) -> Scope:
    """The owners of index ``place``: those in its tree, and the template's blocks round it that begin inside its value."""
    scope, start = up, -1
    for tree in trees:
        if tree.root.start <= place < tree.root.end:
            path = path_to(tree.root, place)
            scope, start = tree.scopes(path), path[-1].start
            break
    for branch in template.nest(t.s).around(place):
        if start < branch.start:
            scope = _branch(t, trees, up, ctx, branch, scope, t)
    return scope


def _definition(t: Text, i: int) -> tuple[int, int]:
    """The span of the named template that index ``i`` is in; that of the whole text if it is in none."""
    own = next((b for b in reversed(template.nest(t.s).around(i)) if template.defined(b)), None)
    return (own.start, own.end) if own is not None else (0, len(t.s))


def _action_uses(
    t: Text, name: str, pattern: str, own: tuple[int, int], trees: list[Tree], up: Scope, ctx: File
) -> list[Scope]:
    """The owners of every action other than ``own`` that puts ``name`` to use, as ``pattern`` finds it."""
    out: list[Scope] = []
    home = _definition(t, own[0])
    for a, b in template.with_word(t.s, name):
        if (a, b) == own or re.search(pattern, t.s[a:b]) is None:
            continue
        if name.startswith("$") and _definition(t, a) != home:
            continue  # another variable: Go's end with the template that sets them
        if re.fullmatch(pattern, expression.variable_set(t.s[a:b])):
            continue  # it changes the variable
        if m := _SET.match(t.s[a:b]):
            if re.search(pattern, t.s[a + m.end() : b]) is None:  # it sets the variable anew
                continue
            out.append(_variable(t, m.group(1) or m.group(2), (a, b), trees, up, ctx))  # it sets another variable to it
        elif not t.s.startswith("{%", a):
            out.append(_chain_at(t, trees, a, up, ctx))
        else:
            continue
        out[-1].place = t.at(a)
    return out


def _default(t: Text, i: int, trees: list[Tree], scope: Scope) -> Site:
    """The site of a token whose key stands outside its action: ``"kv_role": "{{ .Values.role | default "kv_both" }}"``."""
    pos = t.at(i)
    for tree in trees:
        path: list[Node] = path_to(tree.root, i)
        leaf = path[-1] if path else None
        if not isinstance(leaf, Scalar) or not leaf.exact or len(path) < 2:
            continue
        k = next((n for n in range(len(leaf.text.s)) if leaf.text.at(n) == pos), -1)
        inner = objects.enclosing(leaf.text, k) if k >= 0 else None
        nodes: list[Node] = path_to(inner, k) if inner is not None else path
        value, holder = nodes[-1], nodes[-2] if len(nodes) > 1 else None
        if isinstance(holder, Map):
            key = next((kk.value for kk, v in holder.pairs if v is value), "")
            if connectors.is_role_key(key):
                connector, around = connectors.connector_of(holder), connectors.wrappers(reversed(nodes[:-2]))
                return Site(pos, scope, "role", connector, around, connectors.settings(holder), t.exact(i, len(TOKEN)))
    return Site(pos, scope, "value")


YAML = _Yaml()
