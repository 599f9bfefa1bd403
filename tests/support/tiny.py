"""A project in small: the real tools beside a series, a lock and archives of a vLLM-like tree of a dozen files.

Three releases stand for the three kinds there are: 0.9.0 (one connector file, few files to change), 0.22.1 (every topic
has work) and 0.33.0 (the warning is upstream's own; only stragglers are left). Two topics are optional: ``louder`` changes
a file that a default topic changes too, ``fence`` one of its own.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kvroles.digest import sha256
from kvroles.series import mail
from kvroles.series.lock import ArchiveRow, Lock, ReleaseRow
from kvroles.series.topics import Series
from kvroles.series.upstream_files import UPSTREAM_FILES, paths_of_interest
from kvroles.sources import extracts
from kvroles.sources.git import in_scratch
from kvworkshop import checker
from kvworkshop.port import keep, lock_rows

from .files import put

TOOLS = Path(__file__).resolve().parents[2] / "tools"
MTIME = 1_600_000_000
RELEASES = ("0.9.0", "0.22.1", "0.33.0")
ARCHIVE = "vllm-0.22.1.tar.gz"  # the name of 0.22.1's, as an index has it

OLD_CONNECTOR = "vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py"
CONNECTOR = "vllm/distributed/kv_transfer/kv_connector/v1/nixl/connector.py"
UNIT = "tests/v1/kv_connector/unit/test_nixl_connector.py"
UTILS = "tests/v1/kv_connector/unit/utils.py"
SCRIPT = "tests/v1/kv_connector/nixl_integration/run_accuracy_test.sh"  # executable, with a byte that is no UTF-8
GUIDE = "docs/features/nixl_connector_usage.md"  # its last line has no line end
STRAGGLER = "examples/disaggregated/proxy.md"
SCHEDULER = "vllm/v1/core/sched/scheduler.py"
OVERLAY = "docs/features/nixl_kv_role_migration.md"
LONG = "docs/" + "/".join(f"a-rather-long-folder-name-{i}" for i in range(5)) + "/page.md"  # more than 100 characters

_WARN = """\
        if vllm_config.kv_transfer_config.kv_role == "kv_both":
            logger.warning_once(
                "kv_role='kv_both' is deprecated for NixlConnector: set "
                "kv_role='kv_producer' on prefill instances and "
                "kv_role='kv_consumer' on decode instances."
            )
"""
_CONNECTOR_TEXT = """\
from vllm.logger import init_logger

logger = init_logger(__name__)


class NixlConnector:
    def __init__(self, vllm_config, role, kv_cache_config=None):
        assert vllm_config.kv_transfer_config.engine_id is not None
{warn}        self.kv_cache_config = kv_cache_config
        self.role = role

    def start(self):
        logger.info("started")
"""
_TESTS_TEXT = """\
from .utils import create_vllm_config


def test_handshake():
    config = create_vllm_config(kv_connector="NixlConnector", kv_role="{role}")
    assert config.kv_transfer_config.engine_id
"""
_NEW_TESTS = """\


def test_kv_both_deprecation_warning(caplog):
    create_vllm_config(kv_connector="NixlConnector", kv_role="kv_both")
    assert "kv_both" in caplog.text


def test_explicit_kv_role_no_deprecation_warning(caplog):
    create_vllm_config(kv_connector="NixlConnector", kv_role="kv_consumer")
    assert "kv_both" not in caplog.text
"""
_SCRIPT_TEXT = b"""\
#!/bin/bash
# \xa9 the authors
set -e

start_prefill() {
  vllm serve "$MODEL" --port 8100 \\
    --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"%(prefill)s"}' &
}

start_decode() {
  vllm serve "$MODEL" --port 8200 \\
    --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"%(decode)s"}' &
}

start_prefill
start_decode
wait
"""
_GUIDE_TEXT = """\
# NixlConnector

Start the prefill instance:

```bash
vllm serve MODEL --kv-transfer-config '{{"kv_connector":"NixlConnector","kv_role":"{prefill}"}}'
```

Then the decode instance:

```bash
vllm serve MODEL --kv-transfer-config '{{"kv_connector":"NixlConnector","kv_role":"{decode}"}}'
```

Roles: {roles}"""


def pristine(release: str) -> dict[str, bytes]:
    """The tree of a tiny release, as upstream ships it."""
    files = {
        "PKG-INFO": f"Metadata-Version: 2.4\nName: vllm\nVersion: {release}\n".encode(),
        "README.md": b"# A very small vLLM\n",
        "csrc/empty.cu": b"",
        "csrc/table.bin": bytes(range(256)) * 40,
        LONG: b"A page.\n",
        "vllm/__init__.py": b"",
        "vllm/config/kv_transfer.py": b'KVRole = ("kv_producer", "kv_consumer", "kv_both")\n',
        SCHEDULER: b"class Scheduler:\n    def __init__(self, config):\n        self.defer_block_free = config.consumer\n",
        OLD_CONNECTOR if release == "0.9.0" else CONNECTOR: _CONNECTOR_TEXT.format(
            warn=_WARN if release == "0.33.0" else ""
        ).encode(),
        UNIT: (_TESTS_TEXT.format(role="kv_consumer") + _NEW_TESTS).encode()
        if release == "0.33.0"
        else _TESTS_TEXT.format(role="kv_both").encode(),
    }
    if release != "0.9.0":
        both = release == "0.22.1"
        files |= {
            UTILS: b'def create_vllm_config(kv_connector="NixlConnector", kv_role="%s"):\n    return kv_role\n'
            % (b"kv_both" if both else b"kv_consumer"),
            SCRIPT: _script("kv_both", "kv_both") if both else _script("kv_producer", "kv_consumer"),
            GUIDE: _guide("kv_both", "kv_both", "a placeholder.")
            if both
            else _guide("kv_producer", "kv_consumer", "one per side."),
            STRAGGLER: b'For prefill run `vllm serve --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'`\n',
        }
    return files


def _script(prefill: str, decode: str) -> bytes:
    return _SCRIPT_TEXT % {b"prefill": prefill.encode(), b"decode": decode.encode()}


def _guide(prefill: str, decode: str, roles: str) -> bytes:
    return _GUIDE_TEXT.format(prefill=prefill, decode=decode, roles=roles).encode()


def _after(topic: str, release: str) -> dict[str, bytes]:
    """What ``topic`` makes of its files in ``release``; empty where it has nothing to do."""
    before = pristine(release)
    connector = OLD_CONNECTOR if release == "0.9.0" else CONNECTOR
    warned = _CONNECTOR_TEXT.format(warn=_WARN).encode()
    match topic, release:
        case "connector-warning", "0.9.0" | "0.22.1":
            return {connector: warned}
        case "unit-tests", "0.9.0":
            return {UNIT: (_TESTS_TEXT.format(role="kv_consumer") + _NEW_TESTS).encode()}
        case "unit-tests", "0.22.1":
            return {
                UNIT: (_TESTS_TEXT.format(role="kv_consumer") + _NEW_TESTS).encode(),
                UTILS: before[UTILS].replace(b"kv_both", b"kv_consumer"),
            }
        case "integration-scripts", "0.22.1":
            return {SCRIPT: _script("kv_producer", "kv_consumer")}
        case "guides", "0.22.1":
            return {GUIDE: _guide("kv_producer", "kv_consumer", "one per side.")}
        case "stragglers", "0.22.1" | "0.33.0":
            return {STRAGGLER: before[STRAGGLER].replace(b"kv_both", b"kv_producer")}
        case "louder", _:
            return {connector: warned.replace(b'logger.info("started")', b'logger.warning("started")')}
        case "fence", _:
            return {SCHEDULER: before[SCHEDULER].replace(b"config.consumer", b"True")}
        case _:
            return {}


SERIES = (
    "connector-warning",
    "unit-tests",
    "integration-scripts",
    "guides",
    "stragglers",
    "louder optional",
    "fence optional",
)


def _goals(topic: str) -> list[mail.Goal]:
    out = []
    for release in RELEASES:
        after = _after(topic, release)
        if after:
            before = pristine(release)
            if topic == "louder":
                before |= _after("connector-warning", release)
            out.append(mail.Goal(release, {p: before[p] for p in after}, after))
    return out


def _message(topic: str) -> mail.Message:
    return mail.Message(
        f"{topic}: name the roles",
        "Because the tests need a series.",
        {
            "Topic": topic,
            "Origin": "downstream",
            "Upstream-Status": "Inappropriate [made for the tests]",
            "Native-Since": "0.33.0" if topic in UPSTREAM_FILES else "none",
            "Remove-When": "never",
        },
    )


def tarball(top: str, files: Mapping[str, bytes], executable: Iterable[str] = ()) -> bytes:
    """A source archive as build backends make them: one top folder, folder members, pax names where they are long."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders = {top}
        for path in files:
            parts = f"{top}/{path}".split("/")[:-1]
            folders |= {"/".join(parts[: i + 1]) for i in range(len(parts))}
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o700, MTIME - 5
            tar.addfile(info)
        for number, (path, data) in enumerate(sorted(files.items())):
            info = tarfile.TarInfo(f"{top}/{path}")
            info.size, info.mtime = len(data), MTIME - number
            info.mode = 0o775 if path in executable else 0o600
            info.uid, info.gid, info.uname = 4242, 4242, "builder"
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), mtime=0)


@dataclass(frozen=True)
class Tiny:
    """The small project. ``root`` holds tools/, patches/ and vllm_overlay/; ``cache`` the archives of its releases."""

    root: Path
    cache: Path

    @property
    def apply(self) -> Path:
        return self.root / "tools" / "apply.py"

    def lock(self) -> Lock:
        return Lock.load(self.root)

    def series(self) -> Series:
        return Series.load(self.root)

    def row(self, release: str = "0.22.1") -> ReleaseRow:
        return self.lock().releases[release]

    def archive(self, release: str = "0.22.1") -> Path:
        return self.cache / "archives" / f"vllm-{release}.tar.gz"

    def unpack(self, where: Path, release: str = "0.22.1") -> Path:
        """The pristine tree of ``release`` at the new folder ``where``."""
        put(where, pristine(release))
        if release != "0.9.0":
            (where / SCRIPT).chmod(0o755)
        return where

    def applied(self, release: str = "0.22.1", extra: tuple[str, ...] = ()) -> dict[str, bytes]:
        """What a tree of ``release`` holds once the series is applied."""
        out = pristine(release)
        for line in SERIES:
            if not line.endswith("optional") or line.split()[0] in extra:
                out |= _after(line.split()[0], release)
        return out | {OVERLAY: (self.root / "vllm_overlay" / OVERLAY).read_bytes()}

    def copy(self, where: Path) -> Tiny:
        """A copy of the project that a test may damage; the archives are shared."""
        shutil.copytree(self.root, where, ignore=shutil.ignore_patterns("__pycache__"))
        return Tiny(where, self.cache)


def make(folder: Path) -> Tiny:
    """Build the small project below ``folder``: patches by our own writer, the lock from the archives."""
    root = folder / "project"
    # With its bytecode, which stays valid: it goes by a source's size and time. Without the files (x.pyc.123) that another
    # process of the tests is writing and about to rename: they are gone when they are to be copied.
    shutil.copytree(TOOLS, root / "tools", ignore=shutil.ignore_patterns("*.pyc.*"))
    patches = root / "patches"
    patches.mkdir()
    (patches / "series").write_text("".join(f"{line}\n" for line in SERIES))
    put(root / "vllm_overlay", {OVERLAY: b"# From kv_both to explicit roles\n\nSay which side it is.\n"})
    for line in SERIES:
        topic = line.split()[0]
        (patches / topic).mkdir()
        until = "0.33.0" if not _after(topic, "0.33.0") else None
        for first, raw in mail.fewest(_message(topic), _goals(topic), until).items():
            (patches / topic / f"{first}.patch").write_bytes(raw)
    cache = folder / "cache"
    (cache / "archives").mkdir(parents=True)
    for release in RELEASES:
        (cache / "archives" / f"vllm-{release}.tar.gz").write_bytes(
            tarball(f"vllm-{release}", pristine(release), {SCRIPT})
        )
    made = Tiny(root, cache)
    _lock(made)
    return made


def _lock(made: Tiny) -> None:
    """Write the lock of a small project from its archives."""
    series = made.series()
    rows = {}
    for release in RELEASES:
        blob = made.archive(release).read_bytes()
        row = ArchiveRow(made.archive(release).name, sha256(blob), len(blob))
        extract = extracts.of_archive(blob, row, row.top, paths_of_interest(series))
        rows[release] = lock_rows.row(extract, row, (), release, series)
    overlay = {path: sha256(data) for path, data in series.overlay.items()}
    (made.root / "patches" / "lock.json").write_bytes(Lock(overlay, rows, checker.current(None)).dumps())


def next_series(tiny: Tiny, where: Path) -> Tiny:
    """The project as it is one series later: it warns in other words, has another guide, and keeps what ``tiny`` made."""
    made = tiny.copy(where)
    in_scratch(where, "init", "-q")
    in_scratch(where, "add", "-A", "patches", "vllm_overlay")
    in_scratch(where, "commit", "-q", "-m", "Series 1")
    for topic in ("connector-warning", "louder"):
        for mail_ in (where / "patches" / topic).iterdir():
            mail_.write_bytes(
                mail_.read_bytes().replace(b"is deprecated for NixlConnector: set ", b"is deprecated: set ")
            )
    guide = where / "vllm_overlay" / OVERLAY
    guide.write_bytes(guide.read_bytes() + b"\nA later guide.\n")
    keep.keep(where, "HEAD", made.series(), tiny.lock())
    _lock(made)
    return made
