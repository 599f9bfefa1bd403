"""The objects of a cluster that hold ``kv_both``, each judged like a file and told by its name."""

from __future__ import annotations

import base64
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

from kvroles.evidence.text import TOKEN, Text
from kvroles.migrate import run
from kvroles.migrate.cluster import helm, objects
from kvroles.migrate.cluster.kubectl import NO_CONFIGURATION, SECRETS, Kubectl, Unlisted
from kvroles.migrate.codes import CODES
from kvroles.migrate.files import workers
from kvroles.migrate.files.hits import MAX_BYTES
from kvroles.migrate.model import Finding
from kvroles.migrate.readers import base
from kvroles.migrate.readers.mapping import objects as mappings
from kvroles.migrate.result import FileResult
from kvroles.migrate.search import Coverage
from kvroles.migrate.settings import Options
from kvroles.progress import Progress

# Of an object what the API server or a client's history adds: it configures nothing. Its uid stays, by which it is known to
# be live, so that no report shows a value of it.
_ADDED = ("managedFields", "resourceVersion", "selfLink", "generation", "creationTimestamp")
_HISTORY = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision-history")


WHOLE = "(cluster)"  # stands for a namespace where there is none
_AT_ONCE = 8  # kinds that are asked for at the same time


class Place(NamedTuple):
    """A text to judge: the object it is of, what of it, and the text."""

    of: objects.Object
    part: str
    text: str

    @property
    def path(self) -> str:
        return f"{self.of.name} ({self.part})" if self.part else str(self.of.name)


def cluster(kubectl: Kubectl, options: Options, coverage: Coverage, *, quiet: bool = True) -> list[FileResult]:
    """The results for all objects that ``kubectl`` lists. Without ``quiet`` a bar shows how many kinds were asked for.

    A namespace is what a repository is in other reports. What was made from an object that is told of itself (a ReplicaSet
    and its pods from their Deployment) is counted as passed over. A kind that could not be listed, an item of a list
    that is no object, and a Helm release that could not be read, is a finding.
    """
    kinds, unlisted = kubectl.kinds()
    for kind in kinds:
        if kind in NO_CONFIGURATION:
            coverage.pass_over("without configuration", kind, WHOLE)
        elif kind == SECRETS:
            coverage.pass_over("but for Helm's releases", kind, WHOLE)
    asked = [kind for kind in kinds if kind not in NO_CONFIGURATION]
    seen = _Seen(coverage)
    with (
        Progress("Listing", len(asked), quiet=quiet, unit="kinds") as bar,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        for n, (kind, got) in enumerate(zip(asked, pool.map(partial(_ask, kubectl), asked), strict=True)):
            bar.at(n)
            if isinstance(got, Unlisted):
                unlisted.append(got)
            elif kind == SECRETS:
                seen.releases(got)
            else:
                seen.objects(kind, got)
    lost = [*seen.lost, *(run.skipped(u.kind, f"it cannot be listed: {u.why}") for u in unlisted)]
    for r in lost:
        r.repository = r.repository or WHOLE
    return [*judged(seen.places(), options), *lost]


def _ask(kubectl: Kubectl, kind: str) -> list[dict[str, Any]] | Unlisted:
    return kubectl.objects(kind, *([f"--field-selector=type={helm.TYPE}"] if kind == SECRETS else []))


class _Seen:
    """What of the objects listed is to be judged: those that hold the word, less what was made from one that does."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage
        self._hits: dict[str, tuple[objects.Object, dict[str, Any]]] = {}
        self._live: set[objects.Name] = set()
        self._of_helm: list[Place] = []
        self.lost: list[FileResult] = []

    def objects(self, kind: str, items: Sequence[dict[str, Any]]) -> None:
        for item in items:
            found = objects.of_mapping(item)
            if found is None:
                if TOKEN in json.dumps(item):
                    self.lost.append(run.skipped(kind, f"an item of the list holds {TOKEN} and is no object"))
                continue
            self._coverage.looked[found.name.namespace or WHOLE] += 1
            self._live.add(found.name)
            bare = _bare(item)
            if TOKEN in json.dumps(bare):
                uid = (item.get("metadata") or {}).get("uid")
                self._hits[uid if isinstance(uid, str) else str(found.name)] = found, bare

    def releases(self, secrets: Sequence[dict[str, Any]]) -> None:
        for name, release in helm.deployed(secrets):
            self._coverage.looked[name.namespace or WHOLE] += 1
            if isinstance(release, helm.BrokenReleaseError):
                self.lost.append(run.skipped(str(name), f"of a Helm release; {release}"))
            else:
                self._of_helm += _of_release(release)

    def places(self) -> list[Place]:
        out: list[Place] = []
        for found, item in self._hits.values():
            if _owner(item) in self._hits:
                namespace = found.name.namespace or WHOLE
                self._coverage.pass_over("made from an object that is told of", str(found.name), namespace)
            else:
                out.append(Place(found, "", _text(item)))
        return out + [p for p in self._of_helm if p.part != _MANIFEST or p.of.name not in self._live]


_MANIFEST = "in a Helm release's manifest"


def _of_release(release: helm.Release) -> Iterable[Place]:
    name = objects.Name("HelmRelease", release.namespace, release.name)
    for part, values in release.values.items():
        live = {"apiVersion": helm.TYPE, "kind": "HelmRelease", "metadata": {"uid": "of a Secret"}, "values": values}
        if TOKEN in (text := _text(live)):
            yield Place(objects.Object(name), part, text)
    if TOKEN not in release.manifest:
        return
    # lazy: few releases hold the word in what they made
    import yaml

    try:  # every scalar as the text it is: a number or a date may be none
        read = yaml.load_all(release.manifest, getattr(yaml, "CBaseLoader", yaml.BaseLoader))
        made = [(item, _written_out(item)) for item in read]
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: an alias of what it stands in, or too large
        yield Place(objects.Object(name), "manifest", release.manifest)
        return
    for item, text in made:
        if isinstance(item, dict) and TOKEN in text:
            found = objects.of_mapping(item)
            if found is None:
                yield Place(objects.Object(name), "manifest", text)
            else:
                at = found.name if found.name.namespace else found.name._replace(namespace=release.namespace)
                yield Place(objects.Object(at, f"Helm release {release.name}"), _MANIFEST, text)


def _bare(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what it did not configure: its status, and what the server and a client's history added; a
    ConfigMap's ``binaryData`` as text."""
    out = {k: v for k, v in item.items() if k != "status"}
    metadata = out.get("metadata")
    if isinstance(metadata, Mapping):
        kept = {k: v for k, v in metadata.items() if k not in _ADDED}
        if isinstance(notes := kept.get("annotations"), Mapping):
            kept["annotations"] = {k: v for k, v in notes.items() if k not in _HISTORY}
        out["metadata"] = kept
    if isinstance(packed := out.pop("binaryData", None), Mapping):
        texts = out.get("data")
        out["data"] = {
            **(texts if isinstance(texts, Mapping) else {}),
            **{k: _unpacked(v) for k, v in packed.items()},
        }
    return out


def _unpacked(value: object) -> str:
    try:
        return base64.b64decode(str(value)).decode("utf-8", "replace")
    except ValueError:
        return str(value)


def _owner(item: Mapping[str, Any]) -> str:
    owners = (item.get("metadata") or {}).get("ownerReferences")
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, Mapping) and owner.get("controller") is True and isinstance(owner.get("uid"), str):
            return str(owner["uid"])
    return ""


def _text(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, default=str)


def _written_out(data: Any) -> str:
    """The same of YAML, whose aliases are written out. Raises ValueError where they make more of it than is read of any file."""
    pieces: list[str] = []
    size = 0
    for piece in json.JSONEncoder(indent=1, ensure_ascii=False, default=str).iterencode(data):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} characters")
    return "".join(pieces)


def judged(places: list[Place], options: Options) -> list[FileResult]:
    """The results, by place, read in processes that may die of one.

    The objects of a namespace are read as one list, as ``kubectl get -o json`` prints it: a decode server is known by the
    prefill server that runs beside it.
    """
    together: dict[str, list[Place]] = {}
    for place in places:
        alone = place.part and place.part != _MANIFEST
        together.setdefault(place.path if alone else f" {place.of.name.namespace}", []).append(place)
    lists = list(together.values())

    def of_list(group: list[Place]) -> list[FileResult]:
        return _of_list(group, options)

    made = workers.each(of_list, lists, budget=lambda g: run.budget(sum(len(p.text) for p in g)), load=base.load)
    out: list[FileResult] = []
    for group, result in zip(lists, made, strict=True):
        if isinstance(result, workers.Lost):
            out += [run.unread(p.path, p.text.encode("utf-8", "replace"), result.why) for p in group]
        else:
            out += result
    return out


_OPEN, _BETWEEN, _CLOSE = '{"apiVersion": "v1", "kind": "List", "items": [\n', ",\n", "\n]}\n"


def _of_list(group: list[Place], options: Options) -> list[FileResult]:
    starts, text = [0], group[0].text
    if len(group) > 1:
        starts = list(accumulate((len(p.text) + len(_BETWEEN) for p in group[:-1]), initial=len(_OPEN)))
        text = _OPEN + _BETWEEN.join(p.text for p in group) + _CLOSE
    whole = run.of_bytes("-", "-", text.encode("utf-8", "replace"), options._replace(proof=False))
    if whole is None:
        return []
    by_place: dict[int, list[Finding]] = {}
    for f in whole.findings:
        by_place.setdefault(max(0, bisect_right(starts, f.pos) - 1), []).append(f)
    return [_of_place(group[n], starts[n], found, whole.lines) for n, found in by_place.items()]


def _of_place(place: Place, start: int, found: list[Finding], lines: dict[int, int]) -> FileResult:
    """The findings of one object, whose text begins at index ``start`` of what was read."""
    root = mappings.read(Text.of_file(place.text.encode("utf-8", "replace")), 0)
    for f in found:
        f.path, f.object = place.path, str(place.of)
        f.field = objects.field(root[0], f.pos - start) if root is not None and f.pos >= 0 else ""
        if CODES[f.code].actionable and not f.fix:
            f.fix = f"change it where it is made{f', in {place.of.made_by}' if place.of.made_by else ''}"
    result = FileResult(place.path, found, lines)
    result.repository = place.of.name.namespace or WHOLE
    return result
