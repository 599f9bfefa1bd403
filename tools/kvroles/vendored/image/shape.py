"""The shape of an image's JSON, as image-spec has it. It is checked once, where it is read: other modules then rely on it."""

from __future__ import annotations

from typing import Any, NamedTuple

# A type; [SHAPE] for a list; {str: SHAPE} for an object with any keys; {"key": SHAPE} for one with known keys beside others.
# A known key may be missing or null, unless its shape is ``Required``.
Shape = Any


class Required(NamedTuple):
    """What image-spec's ``descriptor.md`` calls required: without it other programs refuse the image."""

    shape: Shape


TEXTS = {str: str}
PLATFORM = {"os": str, "architecture": str, "variant": str}
DESCRIPTOR = {
    "mediaType": str,
    "digest": Required(str),
    "size": Required(int),
    "platform": PLATFORM,
    "annotations": TEXTS,
    "artifactType": str,
}
INDEX = {"manifests": [DESCRIPTOR]}
MANIFEST = {
    "mediaType": str,
    "config": DESCRIPTOR,
    "layers": [DESCRIPTOR],
    "annotations": TEXTS,
    "artifactType": str,
}
CONFIGURATION = {
    **PLATFORM,
    "rootfs": {"diff_ids": [str]},
    "config": {"Env": [str], "Labels": TEXTS, "WorkingDir": str},
    "history": [dict],
}


def wrong(value: object, shape: Shape, at: str = "") -> str:
    """The place at which ``value`` is not of ``shape``, such as ``layers[0].size``; empty where all of it is."""
    if isinstance(shape, type):
        fits = isinstance(value, shape) and (shape is not int or (not isinstance(value, bool) and value >= 0))  # type: ignore[operator]
        return "" if fits else at or "all of it"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return at
        return next((found for n, one in enumerate(value) if (found := wrong(one, shape[0], f"{at}[{n}]"))), "")
    if not isinstance(value, dict):
        return at or "all of it"
    for key, inner in shape.items():
        if isinstance(inner, Required) and value.get(key) is None:
            return f"{at}.{key}".removeprefix(".")
    every = shape.get(str)
    for key, one in value.items():
        inner = shape.get(key, every)
        inner = inner.shape if isinstance(inner, Required) else inner
        if one is not None and inner is not None and (found := wrong(one, inner, f"{at}.{key}".removeprefix("."))):
            return found
    return ""
