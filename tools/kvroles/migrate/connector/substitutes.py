"""What may put NIXL's connector in the place of another one: a substitution of its name, or a setting of the same key that has no
role of its own, in the file or in one beside it.

``sed -i s/LMCacheConnectorV1/NixlConnector/ kv.json`` makes a NIXL role of the ``kv_both`` that stands beside the first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import chain, islice

from kvroles.evidence import c_library
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, occurrences
from kvroles.migrate.connector import connectors, connectors_in_text, regions, renamed
from kvroles.migrate.connector.connectors import Kind
from kvroles.migrate.connector.connectors_in_text import Mention
from kvroles.migrate.files import neighbours
from kvroles.migrate.readers import registry

_MANY = 200  # places of a name that are looked at
_NEAR = 300  # characters before a name in which what gives it on stands
_AROUND = 400  # characters round a setting in which its object begins and ends
_LISTED = regex(  # an environment's list, Helm's parameters, a patch
    r"\b(?:name|path|key):[ \t]*[\"']?(?P<key>[\w./]*(?:CONNECTOR|connector))[\"']?[ \t]*(?:,|\r?\n)[ \t]*value:[ \t]*[\"']?"
    r"(?P<value>[^\s\"',}]{1,80})"
)
_DECLARED = (
    r"variable\s+\"(\w+)\"\s*\{{[^{{}}]{{0,400}}?\bdefault\s*=\s*\"{}\""  # Terraform's, by what it is unless it is set
)
_DEFAULTS = regex(r"(?m)^defaults:[ \t]*\r?\n((?:[ \t]*(?:-|#)[^\n]*(?:\n|\Z))+)")  # Hydra's
_LAST_NAME = regex(r"(?m)([\w-]+)(?:\.ya?ml)?[\"']?[ \t]*(?:#.*)?\r?$")
_VARS = regex(r"(?:^|/)(?:group_vars|host_vars)/")  # Ansible's
_ANCHOR = regex(r"&[\w.-]+\s*\Z")
_ENVIRONMENT_FILE = regex(r"(?m)^EnvironmentFile=\S+")
_SOURCED = regex(r"(?m)(?:^|[;&|({])[ \t]*(?:source|\.)[ \t]+[^\n;&|]{0,200}?([\w.-]+)[\"']?[ \t]*(?:$|[;&|)}])")
_COMPARED = regex(r"\w*[\"'`]?\]?\s*(?:[=!]=|\bin\b|\bis\b|\beq\b|-eq\b)")
_LAST = regex(r"[./]")
_KEY = regex(r"[\w./-]*")
_REST = regex(r"\w*")
_GIVEN = regex(r"(?<![\w$.])(\w+)\s*(?::[^=\n]{1,60})?=\s*(?:new\s+)?[\w.]*\s*\Z")
_PASSED = regex(r"\s(?:-e|--env)[ =]+[\"']?\w*\Z")
_CHILDREN = regex(r"onnectors\\*[\"']?\]?\s*(?::=|=>|[:=])\s*\Z")
_FILTER = regex(r"(?:^|[\s'\"|(,])\.[\w.\[\]-]*\"?[\w-]*\Z")  # before the end of a key of jq's and yq's
_ROLE = regex(r"(?i)role|<<:")  # or a merge, which the reader of YAML sees to
_ROLE_BESIDE = regex(
    r"(?i)(?<!\{)(?<!\{ )role|kv\W?role|role[\"']?\s*:\s*[\"']?kv_|<<:"
)  # ``{role: vllm, ...}`` of Ansible's is none
_PAIRS = regex(r"\{\s*\\*[\"']?[\w.-]+\\*[\"']?\s*:(?!:)")
_ROLES = regex(r"(?i)role\w{0,20}[\"']?\]?\s*[:=]")
_CONNECTORS = regex(r"(?i)connector(?!s\b|_?extra|_?module)\w{0,20}[\"']?\]?\s*[:=]")
_VALUES = regex(r"values[\w.-]*\.ya?ml(?:\.\w+)?$|[\w.-]+[-.]values\.ya?ml$")
# Languages in which a setting changes what its line names; and pages, whose parts are of their own.
_PAGES = frozenset({"markdown", "notebook", "prose", "log"})
# What other files are laid over, or are told to change.
_DATA = frozenset({"docker", "yaml", "json", "toml", "hcl", "unit", "env", "shell"})
# Where a variable is what it is until another file sets it.
_SET_FROM_OUTSIDE = frozenset({"docker", "yaml", "json", "env"})


def in_text(s: str, said: list[Mention], connector: str, lang: str, counts: Callable[[Mention], bool]) -> str:
    """What may put NIXL's connector in the place of ``connector`` in a text; empty if nothing does. ``said`` are the text's
    mentions, ``counts`` tells which of them may set NIXL's."""
    if words := renamed.substituted(s, connector):
        return words
    if "defaults:" in s and (m := _DEFAULTS.search(s)) is not None and "${" in m[1]:
        return "defaults: ${...}"
    if lang in registry.CODE | _PAGES:
        return ""
    keys = _keys(s, said, connector)
    if lang == "unit" and any(map(str.isupper, keys)) and (m := _ENVIRONMENT_FILE.search(s)) is not None:
        return m.group()[:60]  # systemd's: what is read there replaces what the unit sets
    alone = (m for m in said if m.ours and _key(s, m).rpartition(".")[2] in keys and _alone(s, m) and counts(m))
    passed = _passed(s, said, connector) if lang == "shell" else None
    return next((_shown(s, m) for m in alone if passed is None or not passed(m)), "")


def nixl_alone(s: str, said: list[Mention], connector: str, lang: str, counts: Callable[[Mention], bool]) -> str:
    """The words by which a text sets NIXL's connector with no role beside it: it is laid over another config, that of another
    connector. Empty if it does not, or if it is a page, whose parts are of their own."""
    if lang in _PAGES:
        return ""
    found = (m for m in said if _is_nixl(m) and _alone(s, m) and counts(m) and not _spread(s, m))
    passed = _passed(s, said, connector)
    return next((_shown(s, m) for m in found if not passed(m)), "")


def _passed(s: str, said: list[Mention], connector: str) -> Callable[[Mention], bool]:
    """Whether a mention is of the environment that one command gives a container, as each of the other ``connector`` is: what
    one container is given says nothing of another. Not where a file gives it the rest."""

    @cache
    def others_are() -> bool:
        others = (o for o in said if o.value == connector)
        return (" -e" in s or "--env" in s) and all(map(is_given, others))

    def is_given(m: Mention) -> bool:
        return _PASSED.search(s, max(0, m.at - _NEAR), m.at) is not None

    def passed(m: Mention) -> bool:
        end = s.find("\n", m.at)
        line = s[s.rfind("\n", 0, m.at) + 1 : end if end >= 0 else len(s)]
        return others_are() and is_given(m) and "--env-file" not in line

    return passed


def _spread(s: str, m: Mention) -> bool:
    """Whether the object in which a mention sets a connector has a name, and is spread into one with a role."""
    own = next(regions.near(s, m.at, _AROUND), None)
    given = _GIVEN.search(s, max(0, own[0] - _AROUND // 4), own[0]) if own is not None else None
    if given is None:
        return False
    return any(
        s[max(0, i - 3) : i].endswith(("**", "..."))
        and (pair := next(regions.near(s, i, _AROUND), None)) is not None
        and _ROLE.search(s, *pair) is not None
        for i in islice(occurrences(s, given[1]), _MANY)
    )


def _keys(s: str, said: list[Mention], connector: str) -> set[str]:
    """The keys that a text sets to a connector."""
    listed = (
        {_LAST.split(m["key"])[-1] for m in _LISTED.finditer(s) if m["value"] == connector} if "value:" in s else set()
    )
    declared = re.findall(_DECLARED.format(re.escape(connector)), s) if "variable" in s else ()
    return {_key(s, m).rpartition(".")[2] for m in said if m.value == connector}.union(listed, declared)


def sourced(path: str, s: str, lang: str) -> str:
    """The file beside a shell's script which that reads its variables from, and which names NIXL; empty if there is none."""
    if lang != "shell" or path == "-":
        return ""
    there = neighbours.names(path)
    named = (m[1] for m in _SOURCED.finditer(s))
    return next(
        (n for n in named if n in there and "nixl" in neighbours.text(os.path.join(os.path.dirname(path), n)).lower()),
        "",
    )


def beside(path: str, name: str, s: str, said: list[Mention], connector: str, counts: Callable[[Mention], bool]) -> str:
    """What in the files round a file, which is shown as ``name``, may put NIXL's connector in the place of ``connector`` in its
    text ``s``; empty if nothing is seen to."""
    own = os.path.basename(path)
    of = "env" if ".env" in own else registry.lang_of_name(own)
    if of == "python":
        return _taken_up(path)
    if of not in _DATA or not os.path.isfile(path):
        return ""
    keys = _keys(s, said, connector)
    # A variable, or a path; in a shell an argument of Hydra's.
    signs = [sign for key in keys for sign in ((key,) if key.isupper() else (f".{key}", f"/{key}"))]
    arguments = [f" {key}=" for key in keys] if of == "yaml" else []
    for other, read in _round(path, name, alone=of == "shell"):
        text = read.s
        base = os.path.basename(other)
        lang = registry.lang_of_name(base)
        vars_of = _VARS.search(name) is not None and _VARS.search(other) is not None and lang == "yaml"
        overlay = base == own or vars_of or (_VALUES.search(own) is not None and _VALUES.search(base) is not None)
        overlay = overlay or (lang == of == "yaml" and _chosen(own, s, base, text))
        overlay = overlay or (".tfvars" in base and own.endswith(".tf"))
        overlay = overlay or (of == lang == "hcl" and _takes_module(text, path))
        overlay = overlay or _is_variant(own, base) or os.path.basename(os.path.dirname(other)) == f"{own}.d"
        is_named = read.has(own)
        if not overlay and not is_named and not any(map(read.has, signs + arguments if lang == "shell" else signs)):
            continue
        named = is_named and _named(own, text)
        if words := renamed.substituted(text, connector) if is_named else "":
            return f"{base}: {words}"
        for m, key in _setting(read):
            group, _, last = key.rpartition(".")
            if last not in keys or not _alone(text, m) or not counts(m):
                continue
            below = (
                group
                and lang not in registry.CODE
                and re.search(rf"(?<![\w-]){re.escape(group.rsplit('.', 1)[-1])}[\"']?\s*[:={{\]]", s) is not None
            )
            argued = bool(arguments) and lang == "shell" and not group and f" {last}={m.value}" in text
            if named or overlay or below or argued or (last.isupper() and of in _SET_FROM_OUTSIDE):
                return f"{base}: {_shown(text, m)}"
    return ""


@lru_cache(maxsize=256)
def _setting(read: Text) -> list[tuple[Mention, str]]:
    """The mentions of a text that set vLLM's own key, or another one to NIXL's class, each with the path of its key."""
    found = islice(chain(connectors_in_text.mentions(read), _listed(read.s)), _MANY)
    return [(m, _key(read.s, m)) for m in found if m.ours or _names_nixl(m)]


def _names_nixl(m: Mention) -> bool:
    """Whether a mention sets NIXL's connector by the name of its class."""
    return m.is_class and connectors.kind_of(m.value) is Kind.NIXL


def _is_nixl(m: Mention) -> bool:
    """Whether a mention sets NIXL's connector, by the name of its class or, of vLLM's own key, by a short one."""
    return _names_nixl(m) or (m.ours and m.value is not None and connectors.kind_of(m.value) is Kind.NIXL)


def _takes_module(text: str, path: str) -> bool:
    """Whether a text of Terraform's takes the folder of the file ``path`` as a module."""
    folder = re.escape(os.path.basename(os.path.dirname(os.path.abspath(path))))
    return "source" in text and re.search(rf"\bsource\s*=\s*\"[\w./-]*/{folder}/?\"", text) is not None


def _is_variant(own: str, base: str) -> bool:
    """Whether a file called ``base`` is one of the settings in ``own`` for some place: ``kv.local.toml`` of ``kv.toml``."""
    stem, suffix = os.path.splitext(own)
    return (
        bool(suffix)
        and base.endswith(suffix)
        and base.startswith(stem)
        and base[len(stem) : len(stem) + 1] in {".", "-", "_"}
        and base != own
    )


def _taken_up(path: str) -> str:
    """The file and its words by which a module beside ``path`` that imports it sets NIXL's connector; nobody imports a test."""
    folder, own = os.path.split(path)
    stem = os.path.splitext(own)[0]
    if stem.startswith("test_") or not os.path.isfile(path):
        return ""
    for base, read in _texts(folder):
        if base != own and base.endswith(".py") and (words := _imported(stem, read)):
            return f"{base}: {words}"
    return ""


def _imported(stem: str, read: Text) -> str:
    """The words by which Python text that imports the module ``stem`` sets NIXL's connector, and no role beside it."""
    taken = rf"(?m)^[ \t]*(?:from[ \t]+[\w.]*(?<!\w){re.escape(stem)}[ \t]+import\b|import[ \t]+(?:\w+\.)*{re.escape(stem)}\b)"
    if not read.has(stem) or re.search(taken, read.s) is None:
        return ""
    found = (m for m in islice(connectors_in_text.mentions(read), _MANY) if _names_nixl(m) and _alone(read.s, m))
    return next((_shown(read.s, m) for m in found), "")


def _chosen(own: str, s: str, base: str, text: str) -> bool:
    """Whether one of two files of Hydra's, by their names and texts, chooses the other in its list of ``defaults``."""
    return own.partition(".")[0] in _defaults(text) or base.partition(".")[0] in _defaults(s)


@lru_cache(maxsize=64)  # a file is asked beside each of those round it
def _defaults(s: str) -> frozenset[str]:
    """The names in a list of Hydra's ``defaults``, without their folders."""
    m = _DEFAULTS.search(s) if "defaults:" in s else None
    return frozenset(_LAST_NAME.findall(m.group(1))) if m is not None else frozenset()


def _listed(s: str) -> Iterator[Mention]:
    """The connectors that the lists of an environment set, where they set no role."""
    for m in _LISTED.finditer(s) if "value:" in s else ():
        if not _ROLE.search(s, *regions.block(s, m.start())):
            at = m.end("key") - len("onnector")
            yield Mention(at, at, "", True, m["value"], connectors.is_placeholder(m["value"]))


def _named(own: str, text: str) -> bool:
    """Whether a text names the file ``own``."""
    return any(not (text[i - 1 : i].isalnum() or text[i - 1 : i] in "-_") for i in occurrences(text, own))


def _key(s: str, m: Mention) -> str:
    """The key, variable or dotted path that a mention sets."""
    head = _KEY.match(s[max(0, m.at - 100) : m.at][::-1])  # from its end, where it stands
    rest = _REST.match(s, m.at)
    return (head.group()[::-1] if head is not None else "").replace("/", ".").lstrip("-.") + (
        rest.group() if rest is not None else ""
    )


def _shown(s: str, m: Mention) -> str:
    return f"{_key(s, m)}={m.value or ''}"[:60].rstrip("=")


def _alone(s: str, m: Mention) -> bool:
    """Whether a mention sets a connector, to no wrapper, in an object without a role that nothing takes by its anchor."""
    if m.value is None or m.value in connectors_in_text.TYPES:
        return False
    wraps = connectors.kind_of(m.value) is Kind.WRAPPER
    if wraps or _COMPARED.match(s, m.at) is not None or _is_child(s, m.at):
        return False
    return _by_path(s, m) or not with_role(s, m.at)


def _is_child(s: str, at: int) -> bool:
    """Whether a connector is set in one of the objects that a wrapper lists: it is laid over none."""
    around = regions.near(s, at, _AROUND) if "onnectors" in s else iter(())
    return any(s[a] == "[" and _CHILDREN.search(s, max(0, a - _AROUND // 4), a) is not None for a, _ in around)


def _by_path(s: str, m: Mention) -> bool:
    """Whether a mention sets a connector by its dotted path (``--kv-transfer-config.kv_connector X``, or the filter of jq and yq
    ``.kv_connector = X``), and no role is set by the same path: then the role beside it is one of another object."""
    key = _key(s, m)
    group = key.rpartition(".")[0]
    if _FILTER.search(s, max(0, m.at - _AROUND), m.at) is not None:
        return (
            re.search(rf"(?<![\w$]){re.escape(f'.{group}.' if group else '.')}\"?(?i:kv_?role)\"?\s*\|?=(?!=)", s)
            is None
        )
    return bool(group) and re.search(rf"{re.escape(group)}\.\w*(?i:role)", s) is None


def with_role(s: str, at: int) -> bool:
    """Whether the object, the line or the block of lines in which a connector is set has a role as well, or an anchor."""
    a, b = s.rfind("\n", 0, at) + 1, s.find("\n", at)
    line = max(a, at - _AROUND), min(b if b >= 0 else len(s), at + _AROUND)
    own = next(regions.near(s, at, _AROUND), None)
    if own is not None and s[own[0]] == "{" and line[0] <= own[0] and own[1] <= line[1] and _PAIRS.match(s, own[0]):
        return _ROLE_BESIDE.search(s, *own) is not None or _ANCHOR.search(s, line[0], own[0]) is not None
    if _ROLE.search(s, *line):
        return True
    if own is not None:
        return _ROLE.search(s, *own) is not None or _ANCHOR.search(s, max(0, own[0] - _AROUND), own[0]) is not None
    block = regions.block(s, at)
    if _ANCHOR.search(s, max(0, block[0] - _AROUND), block[0]) is not None or s.find("<<:", *block) >= 0:
        return True
    # Of as many roles as connectors each has its own.
    return 0 < sum(1 for _ in _CONNECTORS.finditer(s, *block)) <= sum(1 for _ in _ROLES.finditer(s, *block))


def _round(path: str, name: str, *, alone: bool) -> Iterator[tuple[str, Text]]:
    """The files with connectors that may say more of one, with their texts: those of its folder and, but for ``alone``, of the
    folders below and, where what the user named holds it, of the folder above and those beside."""
    folder, base = os.path.split(path)
    own, own_folder = os.path.normpath(path), os.path.basename(os.path.abspath(folder))
    folders = [folder] if alone else [folder, *neighbours.folders(folder)]
    if os.path.dirname(name) and not alone:
        above = os.path.join(folder, "..")
        folders += [
            above,
            *(f for f in neighbours.folders(above) if os.path.basename(f) != own_folder),
        ]
        if "kustomization.yaml" in neighbours.names(path) or own_folder in connectors.FOR_ALL:  # a base: overlays/prod
            folders += [f for beside_it in folders[-neighbours.MANY :] for f in neighbours.folders(beside_it)]
        if base.endswith((".tf", ".tofu")):
            folders.append(os.path.join(above, ".."))  # modules/vllm
    for held in folders[: neighbours.MANY]:
        for found, read in _texts(held):
            other = os.path.join(held, found)
            if not other.endswith(base) or os.path.normpath(other) != own:
                yield other, read


def _texts(folder: str) -> Iterator[tuple[str, Text]]:
    """The names of the files of a folder that set connectors for others and speak of any, with their texts."""
    for found in _speaking(neighbours.plain(folder)):
        yield os.path.basename(found), _text(found, *neighbours.state(found))


@neighbours.once
def _speaking(folder: str) -> list[str]:
    """The files of a folder that set connectors for others and speak of any."""
    files = neighbours.entries(folder, lambda e: _may_set(e.name) and e.is_file(follow_symlinks=False))
    return [f for f in files[: neighbours.MANY] if _text(f, *neighbours.state(f)).s]


@lru_cache(maxsize=4096)
def _may_set(name: str) -> bool:
    """Whether a file of this name is of a language that sets connectors for others; a page is not."""
    lang = registry.lang_of_name(name)
    return lang != "" and lang not in _PAGES


@lru_cache(maxsize=256)
def _text(path: str, _written: int, size: int) -> Text:
    """The text of a file that speaks of connectors; empty for any other."""
    data = neighbours.data(path, size)
    if not c_library.within(data, b"onnector") and not c_library.within(data, b"ONNECTOR"):
        return Text("")
    try:
        return Text.of_file(data)
    except UnicodeDecodeError:
        return Text(data.decode("utf-8", "replace"))
