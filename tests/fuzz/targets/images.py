"""Image layouts."""

from __future__ import annotations

import functools
import json
import shutil

from feed import Feed, changed_json
from kvroles.errors import KvRolesError
from kvroles.vendored.image import oci as oci_command
from support import oci, wheels

from targets.archives import tar_stream
from targets.target import Target, ground, project


def image(data: bytes) -> None:
    """A layout whose digests are true, whatever its JSON and its layer say, is patched or refused; nothing is left of a refusal."""
    feed = Feed(data)
    room = ground() / "image"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    made = oci.Layout(room / "base")
    way = feed.byte() % 4
    layer = _site_layer()
    if way == 0:
        layer = tar_stream(feed)
    elif way == 1:
        layer = _bent_tar(layer, feed)
    top = made.image([layer], "amd64", {"Env": ["PYTHONPATH=/x"]}, lambda d: d)
    manifest = made.read(top)
    config = made.read(manifest["config"])
    if way == 2:
        manifest["config"] = made.put(changed_json(feed, json.dumps(config).encode()), oci.CONFIG)
    text = json.dumps(manifest).encode()
    index = {"schemaVersion": 2, "manifests": [made.put(changed_json(feed, text) if way == 3 else text, oci.MANIFEST)]}
    text = json.dumps(index).encode()
    (room / "base/index.json").write_bytes(changed_json(feed, text) if feed.byte() % 4 == 0 else text)
    asked = oci_command.Request("0.22.1", room / "base", None, "", (), room / "out", None, "whole", False, None, True)
    try:
        oci_command.write(asked, project().series(), project().lock())
    except KvRolesError:
        assert not (room / "out").exists()
        return
    oci.Read.of(room / "out")


@functools.cache
def _site_layer() -> bytes:
    built = wheels.make(ground() / "wheel of an image")
    return oci.tar(oci.folder(wheels.installed(ground() / "env", built), "opt/site-packages"))


def _bent_tar(layer: bytes, feed: Feed) -> bytes:
    """``layer`` with a few bytes of its headers overwritten, their sums put right."""
    out = bytearray(layer)
    for _ in range(feed.byte() % 4):
        at = (feed.byte() << 8 | feed.byte()) % (len(out) // 512) * 512
        field = at + feed.byte() * 2
        out[field : field + 1] = feed.take(1) or b"0"
        head = out[at : at + 512]
        out[at + 148 : at + 156] = b"%06o\0 " % (sum(head[:148]) + 256 + sum(head[156:]))
    return bytes(out)


def _image_seeds() -> list[bytes]:
    return [bytes([way, n, k, n, k, n, k, 9, 0, 1]) for way in range(4) for n in range(1, 4) for k in range(0, 60, 5)]


TARGETS = {
    "image": Target(image, _image_seeds, (b"mtime=nan\n", b"size=", b"path=", b".wh.")),
}
