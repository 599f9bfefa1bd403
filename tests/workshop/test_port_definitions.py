"""An optional topic in a release whose text no merge serves: carried by definition, or left to a person."""

from __future__ import annotations

import pytest
from kvroles.contract import clauses, terms
from kvroles.places import default_cache_dir
from kvroles.series import patchfile, project
from kvroles.series.topics import Series
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from kvworkshop.port import definitions, lock_rows

CONNECTOR = terms.CONNECTORS[0]
BASE = b"import a\n\n\ndef one():\n    return 1\n\n\ndef two():\n    return 2\n\n\ndef kept():\n    return 3\n"
OTHER = b"import a\n\n\ndef three():\n    return 4\n\n\ndef kept():\n    return 3\n"


def carried(ours: bytes, base: bytes = BASE, other: bytes = OTHER) -> bytes | None:
    return definitions.carried("a-topic", "tests/test_a.py", ours, base, other)


def test_what_a_topic_takes_out_goes_whatever_its_text_and_what_it_brings_stands_in_its_place() -> None:
    ours = (
        b"import b\n\n\n@mark\ndef one(x):\n    return 9\n\n\ndef new():\n    return 5\n\n\ndef two():\n    return 2\n"
    )
    assert carried(ours) == b"import b\n\n\ndef three():\n    return 4\n\n\ndef new():\n    return 5\n"


@pytest.mark.parametrize(
    ("ours", "base", "other"),
    [
        (BASE, BASE, OTHER.replace(b"return 3", b"return 6")),
        (BASE, BASE, OTHER.replace(b"import a", b"import c")),
        (BASE + b"\n\ndef three():\n    return 7\n", BASE, OTHER),
        (b"import a\n\n\ndef kept():\n    return 3\n", BASE, OTHER),
        (b"def one(:\n", BASE, OTHER),
    ],
    ids=["a kept definition changes", "an import changes", "it is there already", "nothing goes", "no Python"],
)
def test_what_is_no_matter_of_whole_definitions_is_left_to_a_person(ours: bytes, base: bytes, other: bytes) -> None:
    assert carried(ours, base, other) is None


@pytest.mark.upstream
@pytest.mark.parametrize("path", [CONNECTOR, terms.TEST_FILE])
def test_the_refusal_of_0_22_1_is_carried_to_0_23_0_where_upstream_has_its_own_words(path: str) -> None:
    series, lock = project.load()[:2]
    options = Options(default_cache_dir())

    def laid(release: str) -> tuple[bytes, bytes]:
        files = release_files.extract(lock.releases[release], series, options).files
        base = lock_rows.topic_rows(files, release, Series(series.chosen(), series.overlay))[1][path] or b""
        topic = series.topic(terms.REJECT)
        patch = next(f for f in topic.patch(topic.variant_for(release) or "").files if f.path == path)
        return base, patchfile.apply(base, patch)[0] or b""

    ours, own = laid("0.23.0")
    made = definitions.carried(terms.REJECT, path, ours, *laid("0.22.1"))
    assert made is not None
    if path == CONNECTOR:
        assert made == own
    else:
        assert clauses.defines(made, terms.REFUSAL_TESTS)
        assert not clauses.defines(made, terms.TESTS)
        assert set(definitions._definitions(made)) == set(definitions._definitions(own))
        compile(made, path, "exec")
