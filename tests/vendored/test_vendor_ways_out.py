"""What keeps ``vendor`` from its work outside of it is named; once it is mended the same run goes on.

All happens in a folder with a blank in its name. Each test names the place that makes the refusal, as refusals.tsv does.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.errors import Unproven, UsageError
from kvroles.vendored.image import pyz
from support import oci, wheels
from support import tiny as project
from support.advice import commands
from support.driver import Driver, How, Ran, Spoil
from support.files import put
from support.refusals import made, place_of
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

Vendor = Callable[..., Ran]
Refused = Callable[..., Ran]
AT = "opt/venv/lib/python3.12/site-packages"
CACHE = f"{CONNECTOR.rpartition('/')[0]}/__pycache__"
WHEEL = "wheel --vllm-rev 0.22.1 --wheel 'a wheel/{}' --output 'a shelf/out' --index"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a blank in its name: in it a wheel, an environment with it installed, and an image of that."""
    home = tmp_path / "my work"
    wheel = wheels.make(home / "a wheel")
    site = wheels.installed(home / "an env", wheel)
    put(site, {f"{CACHE}/connector.cpython-{sys.version_info[0]}{sys.version_info[1]}.pyc": b"stale"})
    image = oci.Layout(home / "an image")
    image.name(image.image([oci.tar(oci.folder(site, AT))], "amd64", {"Env": ["PATH=/opt/venv/bin"]}))
    bare = oci.Layout(home / "another image")
    bare.name(bare.image([oci.tar({"etc": None, "etc/x": b""})], "amd64", {}))
    put(home, {"a shelf/x": b"", "a layer/x": b""})
    return home


@pytest.fixture
def site(home: Path) -> Path:
    (found,) = (home / "an env").glob("lib/python*/site-packages")
    return found


def _words(line: str, site: Path) -> list[str]:
    (wheel,) = (site.parents[3] / "a wheel").glob("*.whl")
    return [w.replace("SITE", str(site)).replace("{}", wheel.name) for w in shlex.split(line)]


@pytest.fixture
def done(vendor: Vendor, home: Path, site: Path) -> Vendor:
    return lambda line, **kw: vendor(*_words(line, site), cwd=home, **kw).ok()


@pytest.fixture
def refused(vendor: Vendor, home: Path, site: Path) -> Refused:
    """``refused(place, line, says)``: the run is refused at ``place``, and its message holds ``says``."""

    def run(place: str, line: str, says: str, **kw: object) -> Ran:
        ran = vendor(*_words(line, site), cwd=home, note=True, **kw)
        assert ran.code, ran
        assert place in [place_of(line) for line in ran.made], (ran.err, ran.made)
        assert says in ran.said, ran.said
        return ran

    return run


INSTALL = "install --site-packages SITE"
IMAGE = f"image --vllm-rev 0.22.1 --base x@sha256:{'0' * 64} --output 'a shelf/out'"
TAG = "image --vllm-rev 0.22.1 --base {} {} --output 'a shelf/out'"
OCI = "oci --vllm-rev 0.22.1 --base 'an image' --output 'a shelf/out'"


@pytest.mark.parametrize(
    ("place", "line", "path", "mode", "says"),
    [
        ("installed.bytecode.drop.1", INSTALL, f"SITE/{CACHE}", 0o555, "or delete it, or make its folder writable"),
        ("installed.census._walk.1", INSTALL, "SITE/vllm/v1", 0o000, "Run as a user who may read it"),
        ("installed.change._writable.1", INSTALL, "SITE", 0o555, "Run as the user that owns the packages"),
        ("installed.layer.write.1", f"{INSTALL} --layer 'a layer'", "a layer", 0o555, "or choose another with --layer"),
    ],
)  # fmt: skip
def test_once_access_is_given_to_vendor_the_same_run_goes_on(
    refused: Refused, done: Vendor, home: Path, site: Path, place: str, line: str, path: str, mode: int, says: str
) -> None:
    locked = home / path.replace("SITE", str(site))
    before = stat.S_IMODE(locked.stat().st_mode)
    locked.chmod(mode)
    refused(place, line, says, powerless=True)
    locked.chmod(before)
    done(line, powerless=True)


@pytest.mark.parametrize(("place", "line"), [("image.context._put.2", IMAGE), ("image.oci.write.1", OCI)])
def test_an_image_that_cannot_be_written_is_written_by_the_next_run(
    refused: Refused, vendor: Vendor, done: Vendor, home: Path, site: Path, place: str, line: str
) -> None:
    points = vendor(*_words(line, site), cwd=home, count=True).points
    shutil.rmtree(home / "a shelf/out")
    half = Spoil(How.FAIL_ONCE, points // 2, errno.EACCES)
    refused(place, line, "write access there, or choose another place with --output", spoil=half)
    done(line)


@pytest.mark.parametrize(
    ("line", "places"),
    [
        (WHEEL, {"wheel.build.run.4", "wheel.wheel.build.2", "wheel.index.write.1"}),
        (INSTALL, {"installed.change._own_copies.1", "installed.bytecode.drop.1"}),
    ],
    ids=["wheel", "install"],
)
def test_each_file_of_vendor_that_cannot_be_written_is_written_by_the_next_run(
    vendor: Vendor, tmp_path: Path, home: Path, line: str, places: set[str]
) -> None:
    """Every moment is ``test_io_faults``'s. The packages are links to an installer's cache, as some installers lay them."""
    (site,) = (home / "an env").glob("lib/python*/site-packages")
    for path in [CONNECTOR, *(f"vllm-0.22.1.dist-info/{name}" for name in ("RECORD",))]:
        (tmp_path / "cache").mkdir(exist_ok=True)
        kept = shutil.copy(site / path, tmp_path / "cache" / Path(path).name)
        (site / path).unlink()
        (site / path).symlink_to(kept)
    template = home.rename(tmp_path / "template")
    shutil.copytree(template, home, symlinks=True)
    argv = _words(line, site)
    points = vendor(*argv, cwd=home, count=True).points
    found = set()
    for moment in range(1, points + 1):
        shutil.rmtree(home)
        shutil.copytree(template, home, symlinks=True)
        ran = vendor(*argv, cwd=home, note=True, spoil=Spoil(How.FAIL_ONCE, moment, errno.ENOSPC))
        if ran.code:
            assert "No space left on device" in ran.said
            found |= {place_of(at) for at in ran.made}
            vendor(*argv, cwd=home).ok()
        if places <= found:
            return
    raise AssertionError(f"nothing was refused in {places - found}")


NO_FOLDER = """
import tempfile
def none(*args, **kw):
    raise OSError(30, "Read-only file system")
tempfile.TemporaryDirectory = none
"""
READ_BACK = """
from kvroles.tree import journal
real = journal.commit
def commit(tree, *args):
    real(tree, *args)
    read = tree.read
    tree.read = lambda path: (read(path) or b"") + b"x"
journal.commit = commit
"""
UNREADABLE = """
from kvroles.vendored.wheel import wheel
def read(*args):
    raise OSError(5, "Input/output error")
wheel._read = read
"""
BROKEN = """
from kvroles.vendored import part
part.broken = lambda *args: "one breach"
"""


@pytest.mark.parametrize(
    ("place", "line", "fault", "says"),
    [
        ("installed.asked.passing_folder.1", INSTALL, NO_FOLDER, "`--tmpfs /tmp`"),
        ("installed.change._commit.1", INSTALL, READ_BACK, "who else writes there, and run it again"),
        ("wheel.wheel.read.3", WHEEL, UNREADABLE, "cannot be read: Input/output error"),
        ("part.plan.2", INSTALL, BROKEN, "Nothing was written"),
    ],
)
def test_without_the_fault_the_same_run_of_vendor_goes_on(
    refused: Refused, done: Vendor, place: str, line: str, fault: str, says: str
) -> None:
    refused(place, line, says, first=fault)
    done(line)


@pytest.mark.parametrize(
    ("place", "wrong", "says", "right"),
    [
        ("in_place_command._run.1", "verify --site-packages SITE --env X", "Expected NAME=VALUE", "verify --site-packages SITE --env X=1"),
        ("in_place_command._run.3", "verify --site-packages SITE --through \"'\"", "is not a command", "verify --site-packages SITE --through env"),
        ("image.context._checked.2", TAG.format("x:v1", ""), "has no digest", TAG.format("x:v1", "--allow-tag")),
        ("image.context._checked.3", TAG.format("x", "--allow-tag"), "neither tag nor digest", TAG.format("x:v0.22.1", "--allow-tag")),
        ("image.context._put.1", IMAGE.replace("shelf/out", "shelf"), "a shelf", IMAGE),
        ("image.layout.base.1", f"{OCI} --platform linux/arm64", "holds no image for linux/arm64", f"{OCI} --platform linux/amd64"),
        ("image.oci._free.1", OCI.replace("shelf/out", "shelf/x"), "is no folder", OCI),
        ("image.oci._free.2", OCI.replace("a shelf/out", "an image"), "is the base itself", OCI),
        ("image.oci._free.3", OCI.replace("shelf/out", "shelf"), "holds other things", OCI),
        ("installed.distribution._first.1", "install", "Name the interpreter with --python", "install --python 'an env/bin/python'"),
        ("installed.distribution._in.2", "install --site-packages 'a layer'", "There is no vLLM in", INSTALL),
        ("installed.distribution.find.1", "install --site-packages 'no folder'", "is not a folder", INSTALL),
        ("image.packages.find.1", f"{OCI} --site-packages /opt/site-packages", "holds no vllm", f"{OCI} --site-packages /{AT}"),
        ("image.packages.find.2", OCI.replace("an image", "another image"), "Name an image of vLLM with --base", OCI),
        ("installed.interpreter.ask.1", "verify --python 'a layer'", "is not an interpreter", "verify --python 'an env/bin/python'"),
        ("installed.interpreter.ask.2", "verify --python /bin/sh", "does not run as a Python", "verify --python 'an env/bin/python'"),
        ("installed.layer.check.1", f"{INSTALL} --layer 'a link'", "is in the way of the layer", f"{INSTALL} --layer 'a layer'"),
        ("wheel.build._source.1", f"{WHEEL} --arch aarch64", "Leave --arch out", WHEEL),
        ("wheel.build.pick.1", WHEEL.replace(" --wheel 'a wheel/{}'", "").removesuffix(" --index"), "no official wheel", WHEEL),
        ("wheel.build.run.1", f"{WHEEL} --build 0", "is not a build number", f"{WHEEL} --build 1"),
    ],
)  # fmt: skip
def test_what_vendor_advises_in_place_of_a_wrong_argument_is_taken(
    refused: Refused, done: Vendor, home: Path, place: str, wrong: str, says: str, right: str
) -> None:
    if right.startswith("verify"):
        done(INSTALL)
    if "a link" in wrong:
        put(home, {"a link/x": b""})
        (home / "a link" / home.parts[1]).symlink_to(home)
    refused(place, wrong, says)
    done(right)


@pytest.mark.parametrize(
    ("place", "wrong", "says"),
    [
        ("provenance.files.sign.1", '"\'"', "is not a command"),
        ("provenance.files.sign.2", "' '", "is empty"),
        ("provenance.files.sign.3", "'no such program'", "could not be run"),
    ],
)
def test_the_statement_is_signed_by_the_command_that_is_named(
    refused: Refused, vendor: Vendor, home: Path, site: Path, place: str, wrong: str, says: str
) -> None:
    """A ``cosign`` that writes the bundle it is told to stands for the real one, which asks a service."""
    put(
        home,
        {"bin/cosign": b'#!/bin/sh\ntest "$1 $2 $3 $5" = "attest-blob --yes --statement --bundle" && cp "$4" "$6"\n'},
    )
    (home / "bin/cosign").chmod(0o755)
    (way,) = commands(refused(place, f"{OCI} --sign-with {wrong}", says).said)
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    vendor(*_words(OCI, site), "--sign-with", way, cwd=home, env={"PATH": path}).ok()
    assert list((home / "a shelf/out").glob("*.bundle"))


def test_a_module_that_comes_before_the_package_is_gone_round_by_the_variable_that_is_named(
    refused: Refused, done: Vendor, home: Path
) -> None:
    (home / "a folder").mkdir()
    put(home, {"a folder/vllm.py": b""})
    line = "install --python 'an env/bin/python' --workdir 'a folder'"
    ran = refused("installed.distribution._first.3", line, "Expected a folder vllm/ with the package's files")
    assert "Start vLLM with PYTHONSAFEPATH=1" in ran.said
    done(line, env={"PYTHONSAFEPATH": "1"})


def test_a_folder_of_packages_that_links_to_one_of_another_name_takes_the_files_themselves(
    refused: Refused, done: Vendor, home: Path, site: Path
) -> None:
    (site / "vllm").rename(home / "somewhere")
    (site / "vllm").symlink_to(home / "somewhere")
    runtime = f"{INSTALL} --part runtime"
    refused("installed.distribution._in.3", runtime, "a folder of another name")
    (site / "vllm").unlink()
    (home / "somewhere").rename(site / "vllm")
    done(runtime)


def test_bytecode_of_another_interpreter_is_compiled_into_a_layer_by_that_one(
    refused: Refused, done: Vendor, home: Path, site: Path
) -> None:
    other = site / CACHE / "connector.cpython-399.pyc"
    other.write_bytes(b"stale")
    ran = refused("installed.layer._compile.1", f"{INSTALL} --layer 'a layer'", "compiled by another interpreter")
    assert "Run this with the interpreter that runs vLLM" in ran.said
    other.unlink(missing_ok=True)
    done("uninstall --site-packages SITE")
    done(f"{INSTALL} --layer 'a layer'")


def test_a_working_directory_that_is_gone_is_named_instead(refused: Refused, done: Vendor) -> None:
    done(INSTALL)
    gone = "import os\nos.mkdir('gone')\nos.chdir('gone')\nos.rmdir('../gone')\n"
    refused("in_place_command._run.4", "verify --site-packages SITE", "cannot be had", first=gone)
    done("verify --site-packages SITE --workdir 'a layer'")


def test_platforms_of_two_releases_are_written_one_by_one(
    refused: Refused, done: Vendor, home: Path, tmp_path: Path
) -> None:
    made = oci.Layout(home / "two")
    sites = [
        wheels.installed(tmp_path / r, wheels.make(tmp_path / f"{r} in", r, version="0.22.1.post1"))
        for r in ("0.22.1", "0.9.0")
    ]
    images = [
        made.image([oci.tar(oci.folder(site, AT))], arch, {"Env": ["PATH=/opt/venv/bin"]})
        for site, arch in zip(sites, ("amd64", "arm64"), strict=True)
    ]
    made.name(made.index(images))
    line = "oci --vllm-rev 0.22.1.post1 --base two --no-strict --output 'a shelf/{}'"
    refused("image.oci._finish.1", line.replace("{}", "out"), "different releases of vLLM")
    for platform in ("linux/amd64", "linux/arm64"):
        done(f"{line.replace('{}', platform[-5:])} --platform {platform}")


def test_the_program_is_made_from_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    places = made(monkeypatch)
    program = pyz.build()
    (tmp_path / "apply.pyz").write_bytes(program[program.index(b"PK") :])
    with monkeypatch.context() as inside:
        inside.setattr(pyz, "project_root", lambda: zipfile.Path(tmp_path / "apply.pyz"))
        with pytest.raises(UsageError, match=r"not made by itself.*of a clone"):
            pyz.build()
    assert places == ["image.pyz.build.1"]
    assert pyz.build() == program


def test_the_digest_of_a_base_is_asked_for_by_the_command_that_is_named(
    refused: Refused, done: Vendor, home: Path
) -> None:
    """The command is pasted; a registry on this machine would be no other than this ``docker`` that answers."""
    answer = f"Name:   vllm/vllm-openai:v0.22.1\nDigest: sha256:{'5' * 64}\n"
    put(
        home,
        {
            "bin/docker": f"#!/bin/sh\ntest \"$*\" = 'buildx imagetools inspect vllm/vllm-openai:v0.22.1' || exit 1\ncat <<E\n{answer}E\n".encode()
        },
    )
    (home / "bin/docker").chmod(0o755)
    line = "image --vllm-rev 0.22.1 --output 'a shelf/out' --base '{}'"
    (way,) = commands(refused("image.context._checked.1", line.format("not an image"), "Ask for it with").said)
    told = os.popen(f"cd {shlex.quote(str(home))} && PATH={shlex.quote(str(home / 'bin'))}:$PATH {way}").read()
    done(line.format("vllm/vllm-openai@" + told.split()[-1]))


def test_an_image_of_an_earlier_series_is_made_anew_from_its_base(
    vendor: Vendor, tiny: Tiny, home: Path, site: Path, tmp_path: Path
) -> None:
    vendor(*_words(OCI, site), cwd=home).ok()
    later = project.next_series(tiny, tmp_path / "later").root
    driver = Driver(later / "tools", later, "vendor")
    try:
        again = _words(OCI.replace("an image", "a shelf/out").replace("out'", "new'", 2), site)
        again = ["oci", "--vllm-rev", "0.22.1", "--base", "a shelf/out", "--output", "a shelf/new"]
        ran = driver.run(*again, cwd=home, note=True).refused(1, "Name the image that it was made from")
        assert [place_of(at) for at in ran.made] == ["image.oci._patch.2"]
        driver.run(*again[:4], "an image", *again[5:], cwd=home).ok()
    finally:
        driver.close()


def test_an_import_from_outside_the_standard_library_keeps_the_program_from_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ast

    places = made(monkeypatch)

    def imported(text: str) -> list[Path]:
        return [p for node in ast.walk(ast.parse(text)) for p in pyz._imported(node, tmp_path / "x.py", tmp_path)]

    with pytest.raises(Unproven, match="not in the standard library"):
        imported("import numpy")
    assert places == ["image.pyz._imported.1"]
    assert imported("import json") == []
