"""A package index as a folder of files, for the wheels in it: what pip and uv read over ``file:`` or from any web server.

Formats: "Simple repository API" of the PyPA specifications, HTML (PEP 503) and JSON (PEP 691).
"""

from __future__ import annotations

import html
import json
import zipfile
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.utils import canonicalize_name, parse_wheel_filename

from kvroles.errors import os_error
from kvroles.tree import handles
from kvroles.vendored.record import digest

FOLDER = "simple"
_PAGE = """<!DOCTYPE html>
<html><head><meta name="pypi:repository-version" content="1.0"></head><body>
{}</body></html>
"""


def write(output: Path) -> Path:
    """Write ``output/simple/`` for every wheel in ``output``; returns that folder. Each page is put in place in one step."""
    projects: dict[str, list[Path]] = {}
    root = output / FOLDER
    try:
        for wheel in sorted(output.glob("*.whl")):
            projects.setdefault(canonicalize_name(parse_wheel_filename(wheel.name)[0]), []).append(wheel)
        for name, wheels in projects.items():
            files = [_file(w) for w in wheels]
            page = _PAGE.format("".join(map(_link, files)))
            document = {"meta": {"api-version": "1.0"}, "name": name, "files": files}
            _put(root / name / "index.html", page.encode())
            _put(root / name / "index.json", (json.dumps(document, indent=1) + "\n").encode())
        every = "".join(f'<a href="{n}/">{n}</a><br>\n' for n in sorted(projects))
        _put(root / "index.html", _PAGE.format(every).encode())
    except OSError as e:
        raise os_error(
            f"The index {root} could not be written, the wheel beside it was",
            e,
            "Choose another place with --output",
            unchanged=False,
        ) from None
    return root


def _link(file: dict[str, Any]) -> str:
    url, sha, name = file["url"], file["hashes"]["sha256"], html.escape(file["filename"])
    requires = html.escape(file["requires-python"] or "")
    return f'<a href="{html.escape(url)}#sha256={sha}" data-requires-python="{requires}">{name}</a><br>\n'


def _file(wheel: Path) -> dict[str, Any]:
    with wheel.open("rb") as f:
        sha = digest(f)
    with zipfile.ZipFile(wheel) as z:
        name = next(n for n in z.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA"))
        requires = BytesParser().parsebytes(z.read(name), headersonly=True)["Requires-Python"]
    return {
        "filename": wheel.name,
        "url": f"../../{quote(wheel.name)}",
        "hashes": {"sha256": sha},
        "requires-python": requires,
        "size": wheel.stat().st_size,
    }


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handles.write(path, data)
