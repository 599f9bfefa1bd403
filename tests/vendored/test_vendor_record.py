"""RECORD: read as pypa/installer reads it, changed line by line, and put back as it was."""

from __future__ import annotations

import base64
import csv
import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from installer.records import Hash, RecordEntry
from kvroles.errors import Unproven
from kvroles.vendored.record import Record

TEXT = (
    b'"a, b.py",sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\r\n'
    b"pkg/x.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\r\n"
    b"pkg/__pycache__/x.pyc,,\r\n"
    b"x.dist-info/RECORD,,\r\n"
)


def test_a_change_is_one_line_and_new_rows_go_before_records_own() -> None:
    record = Record.parse(TEXT, "x", "")
    changed = record.replaced({"pkg/x.py": b"new", "x.dist-info/added": b""})
    lines = changed.dumps().split(b"\r\n")
    old = TEXT.split(b"\r\n")
    assert lines[0] == old[0]
    assert lines[1] == b"pkg/x.py,sha256=EVB6Di9eadXfpApiob17buV-a82FxnybhDGzb_8hxDc,3"
    assert lines[3] == b"x.dist-info/added,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"
    assert lines[4] == old[3]


paths = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=' ,"'), min_size=1, max_size=20
)


@given(st.dictionaries(paths, st.binary(max_size=50), min_size=1, max_size=8), st.data())
def test_changing_and_putting_back_gives_the_same_bytes(files: dict[str, bytes], data: st.DataObject) -> None:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    for path, content in files.items():
        rows.writerow(RecordEntry(path, Hash("sha256", _b64(hashlib.sha256(content).digest())), len(content)).to_row())
    text = out.getvalue().encode()
    record = Record.parse(text, "x", "")
    assert [(e.path, e.sha256, e.size) for e in record.entries] == [
        (p, hashlib.sha256(c).hexdigest(), len(c)) for p, c in files.items()
    ]
    chosen = data.draw(st.sets(st.sampled_from(sorted(files))))
    added = {f"added/{n}": b"x" for n in range(data.draw(st.integers(0, 3)))}
    changed = record.replaced({**dict.fromkeys(chosen, b"other"), **added})
    assert {e.path for e in changed.entries} == files.keys() | added.keys()
    assert changed.restored(record, chosen, added).dumps() == text


def _b64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@pytest.mark.parametrize(
    "line", [b"a", b"a,b", b"a,md5=abc,1", b"a,sha256=!,1", b"a,sha256=AAAA,many", b"a,,\na,,", b"\xff,,", b"a,b,c,d"]
)
def test_what_is_no_record_is_said_to_be_damaged(line: bytes) -> None:
    with pytest.raises(Unproven, match="damaged"):
        Record.parse(line, "x", "")
