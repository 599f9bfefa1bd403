"""What may stand before the installed vLLM, beside it or in it: ``verify`` refuses it by name or says a lesser word, and the
command that it prints leads to a proven installation. What only looks like it is still verified."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import wheels
from support.advice import commands
from support.driver import Ran
from support.files import put
from support.tiny import CONNECTOR

pytestmark = pytest.mark.slow

Vendor = Callable[..., Ran]
How = dict[str, Any]
NIXL = CONNECTOR.removesuffix("/connector.py")
WORKER = f"{NIXL}/worker.py"
INFO = "vllm-0.22.1.dist-info"
SO = importlib.machinery.EXTENSION_SUFFIXES[0]
ALONE = py_compile.PycInvalidationMode.UNCHECKED_HASH  # Python never looks at the source of such bytecode
EVIL = b"print('not what was installed')\n"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return wheels.with_worker(tmp_path / "in")


def ask(vendor: Vendor, site: Path, *more: str | Path, **how: Any) -> Ran:
    return vendor("verify", "--python", site.parents[2] / "bin" / "python", *more, **how)


def compiled(to: Path, data: bytes = EVIL) -> None:
    source = put(to.parent, {"temporary.py": data}) / "temporary.py"
    py_compile.compile(str(source), cfile=str(to), invalidation_mode=ALONE)
    source.unlink()


def zipped(to: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(to, "w") as z:
        for name, data in files.items():
            z.writestr(name, data)
    return to


def distribution(name: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """``files``, and the metadata by which an installer vouches for them."""
    info = f"{name}-1.0.dist-info"
    return files | {
        f"{info}/METADATA": f"Name: {name}\nVersion: 1.0\n".encode(),
        f"{info}/RECORD": wheels.record(files, f"{info}/RECORD"),
    }


def user_site(tmp: Path, site: Path, files: dict[str, bytes]) -> How:
    config = site.parents[2] / "pyvenv.cfg"
    config.write_text(config.read_text().replace("false", "true"))
    put(tmp / "user/lib" / site.parent.name / "site-packages", files)
    return {"env": {"PYTHONUSERBASE": str(tmp / "user")}}


# Before it.

FIRST: dict[str, Callable[[Path], How]] = {
    "a module in the working directory": lambda at: {"cwd": put(at, {"vllm.py": EVIL})},
    "a package in the working directory": lambda at: {"cwd": put(at, {"vllm/__init__.py": EVIL})},
    "a compiled module in the working directory": lambda at: {"cwd": put(at, {f"vllm{SO}": b""})},
    "a package on PYTHONPATH": lambda at: {"env": {"PYTHONPATH": str(put(at, {"vllm/__init__.py": EVIL}))}},
    "an archive on PYTHONPATH": lambda at: {
        "env": {"PYTHONPATH": str(zipped(at / "a.zip", {"vllm/__init__.py": EVIL}))}
    },
    "a folder in an archive on PYTHONPATH": lambda at: {
        "env": {"PYTHONPATH": str(zipped(at / "a.zip", {"lib/vllm/__init__.py": EVIL}) / "lib")}
    },
    "an empty entry of PYTHONPATH": lambda at: {
        "cwd": put(at, {"vllm/__init__.py": EVIL}), "env": {"PYTHONPATH": ":/no", "PYTHONSAFEPATH": "1"}
    },
    "a PYTHONPATH that is told": lambda at: {
        "more": ("--env", f"PYTHONPATH={put(at, {'vllm/__init__.py': EVIL})}")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
def test_another_vllm_that_comes_first_is_named_with_a_command_that_does_without(
    vendor: Vendor, patched: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "a folder").mkdir()
    how = FIRST[name](tmp_path / "a folder")
    refused = ask(vendor, patched, *how.pop("more", ()), **how)
    refused.refused(3, "imports vllm from", str(tmp_path / "a folder"), f"{patched}/vllm, which is installed")
    assert ": verified, " in pasted(refused, how)


def pasted(refused: Ran, how: How) -> str:
    """The last command of the fix line, run where and as the refused one was."""
    command = commands(refused.said)[-1]
    env = {**os.environ, **how.get("env", {})}
    done = subprocess.run(["bash", "-c", command], cwd=how.get("cwd"), env=env, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


@pytest.mark.parametrize("name", ["vllm.py", f"vllm{SO}"])
def test_a_module_beside_the_command_vllm_is_named_and_taken_away(vendor: Vendor, patched: Path, name: str) -> None:
    """A script's own folder is first on its path."""
    beside = put(patched.parents[2] / "bin", {name: EVIL}) / name
    assert ": verified, " in ask(vendor, patched, env={"PYTHONSAFEPATH": "1"}).ok().out
    pasted(ask(vendor, patched).refused(3, f"imports vllm from {beside}, which the folder of the command vllm"), {})
    assert ": verified, " in ask(vendor, patched).ok().out


def test_a_path_file_that_puts_another_first_is_what_the_command_takes_away(
    vendor: Vendor, wheel: Path, site: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        shutil.copytree(site, tmp_path / name)
    shutil.rmtree(site / "vllm")
    shutil.rmtree(site / INFO)
    where = ("--python", site.parents[2] / "bin/python", "--site-packages", tmp_path / "b")
    vendor("install", *where).ok()
    put(site, {"own.pth": f"{tmp_path / 'a'}\n{tmp_path / 'b'}\n".encode()})
    pasted(vendor("verify", *where).refused(3, f"{tmp_path / 'a'}/vllm/__init__.py", f"`rm -- {site / 'own.pth'}`"), {})
    assert ": verified, " in vendor("verify", *where).ok().out


@pytest.mark.parametrize(
    "hook",
    [
        b"import sys, types; m = sys.modules['vllm'] = types.ModuleType('vllm'); m.__path__ = []\n",
        b"import sys; sys.path.insert(0, '%s')\n",
        b"import finder\n",
    ],
)
def test_start_up_code_that_puts_another_first_is_what_the_command_takes_away(
    vendor: Vendor, patched: Path, tmp_path: Path, hook: bytes
) -> None:
    other = put(tmp_path / "other", {"vllm/__init__.py": EVIL})
    finder = (
        "import sys\nfrom importlib.machinery import PathFinder\nclass F:\n    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        return PathFinder.find_spec(name, [{str(other)!r}]) if name == 'vllm' else None\n"
        "sys.meta_path.insert(0, F)\n"
    )
    put(patched, {"zz.pth": hook % str(other).encode() if b"%" in hook else hook, "finder.py": finder.encode()})
    refused = ask(vendor, patched).refused(3, "would import", f"rm -- {patched / 'zz.pth'}")
    pasted(refused, {})
    assert ": verified, " in ask(vendor, patched).ok().out


def test_an_environment_that_gives_no_answer_is_asked_without(vendor: Vendor, patched: Path, tmp_path: Path) -> None:
    """A module of the standard library's name in the working directory."""
    how = {"cwd": put(tmp_path / "work", {"json.py": b""})}
    refused = ask(vendor, patched, **how).refused(3, "gave no answer", "has no attribute 'load'")
    assert ": verified, " in pasted(refused, how)


def test_the_commands_behind_a_construction_that_was_required_do_without(vendor: Vendor, site: Path) -> None:
    put(site, {"vllm/config/__init__.py": b"import a_module_that_is_not_there\n"})
    for verb, says in (("install", "patched in place"), ("verify", ": patch proven, ")):
        command = (verb, "--python", site.parents[2] / "bin/python")
        assert says in pasted(vendor(*command, "--require-construction").refused(3, "was not constructed"), {})


def test_the_official_wheel_comes_back_over_the_vendored_one(
    vendor: Vendor, wheel: Path, site: Path, tmp_path: Path
) -> None:
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out").ok()
    python = str(site.parents[2] / "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python]
    folders = ["--no-index", "--no-compile", "--find-links", str(wheel.parent), "--find-links", str(tmp_path / "out")]
    (built,) = (tmp_path / "out").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--force-reinstall", *folders[:2], str(built)], check=True)
    refused = vendor("uninstall", "--python", python).refused(1, "===0.22.1")
    words = shlex.split(commands(refused.said)[-1])
    assert words[:3] == [python, "-m", "pip"]
    subprocess.run([*pip, *words[3:], *folders], check=True)
    vendor("install", "--python", python).ok()


# In it.


def _without_source(site: Path) -> str:
    compiled((site / WORKER).with_suffix(".pyc"))
    (site / WORKER).unlink()
    return f"{WORKER}c"


INSIDE: dict[str, Callable[[Path], str]] = {
    "a compiled module before a source": lambda s: str(put(s, {f"{NIXL}/worker.abi3.so": b""})) and f"{NIXL}/worker.abi3.so",
    "a compiled package before its source": lambda s: str(put(s, {f"vllm/__init__{SO}": b""})) and f"vllm/__init__{SO}",
    "a package before a module": lambda s: str(put(s, {f"{NIXL}/worker/__init__.py": EVIL})) and f"{NIXL}/worker/__init__.py",
    "bytecode in place of a source": _without_source,
}  # fmt: skip


@pytest.mark.parametrize("name", INSIDE)
def test_a_file_that_python_takes_for_an_installed_module_is_refused(vendor: Vendor, patched: Path, name: str) -> None:
    by = INSIDE[name](patched)
    refused = ask(vendor, patched).refused(3, f"would import {patched / by} in place of", "Take it away: `rm -r -- ")
    command = next(c for c in commands(refused.said) if c.startswith("rm -r -- "))
    subprocess.run(["bash", "-c", command], check=True)
    if name == "bytecode in place of a source":
        assert "-m pip install --force-reinstall" in refused.said
        put(patched, {WORKER: b"class NixlConnectorWorker:\n    pass\n"})
    assert ": verified, " in ask(vendor, patched).ok().out


# Beside it: the word is a lesser one, and what nobody vouches for is listed.


def _rehashed(site: Path, tmp: Path) -> How:
    record = (site / INFO / "RECORD").read_text()
    row = wheels.record({WORKER: EVIL}, "x").decode().splitlines()[0]
    put(site, {WORKER: EVIL, f"{INFO}/RECORD": re.sub(rf"{re.escape(WORKER)},.*", row, record).encode()})
    return {}


def _put(files: dict[str, bytes]) -> Callable[[Path, Path], How]:
    def do(site: Path, _tmp: Path) -> How:
        put(site, files)
        return {}

    return do


def _link_to_nothing(site: Path, _tmp: Path) -> How:
    (site / "vllm/x.py").symlink_to("/nowhere")
    return {}


def _sparse(site: Path, _tmp: Path) -> How:
    with open(site / "vllm/x.bin", "wb") as f:
        f.truncate((1 << 40) + 1)
    return {}


def _folder_behind_a_link(site: Path, tmp: Path) -> How:
    shutil.move(site / NIXL, tmp / "moved")
    (site / NIXL).symlink_to(tmp / "moved")
    return {}


def _folder_behind_it(site: Path, tmp: Path) -> How:
    more = put(tmp / "more", {"vllm/__init__.py": EVIL, "n.pth": b"import os\n"})
    put(site, {"zz.pth": f"{more}\n".encode()})
    return {}


_BESIDE: dict[str, tuple[Callable[[Path, Path], How], str]] = {
    "a backdoor whose RECORD was mended": (_rehashed, f"{WORKER} has another hash in RECORD than when vLLM was patched"),
    "a file without an end": (_sparse, "vllm/x.bin is larger than a file of a package can be"),
    "metadata of another version before it": (
        lambda _, tmp: {"env": {"PYTHONPATH": str(put(tmp / "p", {"vllm-9.dist-info/METADATA": b"Name: vllm\nVersion: 9\n"}))}},
        "vllm-9.dist-info says too that it is vllm, and PYTHONPATH puts it first",
    ),
    "a link to nothing": (_link_to_nothing, "vllm/x.py is a link to nothing"),
    "a portion of a namespace": (_put({f"{NIXL}/extra/mod.py": EVIL}), f"{NIXL}/extra/mod.py is not in RECORD"),
    "a name in other letters": (_put({f"{NIXL}/Connector.py": EVIL}), f"{NIXL}/Connector.py is not in RECORD"),
    "metadata of another version": (
        _put({"vllm-0.21.0.dist-info/METADATA": b"Name: vllm\nVersion: 0.21.0\n"}), "vllm-0.21.0.dist-info says too"
    ),
    "an egg": (_put({"vllm.egg-info/PKG-INFO": b"Name: vllm\nVersion: 9\n"}), "vllm.egg-info says too that it is vllm"),
    "a link of setuptools": (_put({"vllm.egg-link": b"/nowhere\n"}), "vllm.egg-link says too that it is vllm"),
    "a hidden .pth": (_put({".zz.pth": b"import os\n"}), ".zz.pth (.pth) is code that runs before vLLM"),
    "a .pth behind a byte order mark": (_put({"zz.pth": b"\xef\xbb\xbfimport os\n"}), "zz.pth (.pth) is code"),
    "a .pth of old line ends": (_put({"zz.pth": b"# x\rimport os\r"}), "zz.pth (.pth) is code that runs before vLLM"),
    "a package sitecustomize": (_put({"sitecustomize/__init__.py": b""}), "__init__.py (sitecustomize) is code"),
    "a sitecustomize in an archive": (
        lambda _, tmp: {"env": {"PYTHONPATH": str(zipped(tmp / "a.zip", {"d/sitecustomize.py": b""}) / "d")}},
        "a.zip (sitecustomize) is code that runs before vLLM",
    ),
    "a usercustomize": (
        lambda site, tmp: user_site(tmp, site, {"usercustomize.py": b""}), "usercustomize.py (usercustomize) is code"
    ),
    "a module that vouched start-up code imports": (
        _put(distribution("tool", {"tool.pth": b"import unknown\n"}) | {"unknown.py": b""}), "unknown.py (module) is code"
    ),
    "a loader that answers otherwise": (_put({"zz.pth": b"import x\n", "x.py": b""}), "x.py (module) is code"),
}  # fmt: skip


@pytest.mark.parametrize("name", _BESIDE)
def test_what_nobody_vouches_for_is_listed_and_the_word_is_a_lesser_one(
    vendor: Vendor, patched: Path, tmp_path: Path, name: str
) -> None:
    do, said = _BESIDE[name]
    how = do(patched, tmp_path)
    ran = ask(vendor, patched, **how).ok()
    assert (": patch proven, " in ran.out, said in ran.out) == (True, True), ran.out


# Beside it, and neither read nor judged: it is named.


def test_plugins_of_other_distributions_and_preloaded_libraries_are_named(
    vendor: Vendor, patched: Path, tmp_path: Path
) -> None:
    lists = {
        "plug-1.0.dist-info/entry_points.txt": b"[console_scripts]\nx = plug:x\n[vllm.general_plugins]\nown = plug:register\n",
        "vllm-0.22.1.dist-info/entry_points.txt": (patched / INFO / "entry_points.txt").read_bytes(),
    }
    put(patched, lists)
    first = put(tmp_path / "first", {"other.egg-info/entry_points.txt": b"[vllm.platform_plugins]\ngpu = other:gpu\n"})
    (patched / "odd-1.dist-info").mkdir()
    os.mkfifo(patched / "odd-1.dist-info/entry_points.txt")
    how: How = {"env": {"PYTHONPATH": str(first), "LD_PRELOAD": "/nowhere/malloc.so"}}
    out = ask(vendor, patched, "--strict", **how).ok().out
    assert ": verified, " in out
    assert [line.strip() for line in out.splitlines() if "not read" in line] == [
        "not read      other:gpu, the plugin gpu (vllm.platform_plugins) of other.egg-info: may run inside vLLM",
        "not read      plug:register, the plugin own (vllm.general_plugins) of plug-1.0.dist-info: may run inside vLLM",
        f"not read      {patched}/odd-1.dist-info/entry_points.txt: whether it names plugins is not known",
        "not read      LD_PRELOAD=/nowhere/malloc.so: loaded into Python before it starts",
    ]
    told = json.loads(ask(vendor, patched, "--json", **how).ok().out)["read"]
    assert [p["value"] for p in told["plugins"]] == ["other:gpu", "plug:register"]
    assert (len(told["plugin_lists_not_read"]), told["preloaded"]) == (1, ["LD_PRELOAD=/nowhere/malloc.so"])


def test_foreign_bytecode_of_vouched_start_up_code_is_refused(vendor: Vendor, patched: Path) -> None:
    put(patched, distribution("sc", {"sitecustomize.py": b""}))
    assert ": verified, " in ask(vendor, patched).ok().out
    pyc = Path(importlib.util.cache_from_source(str(patched / "sitecustomize.py")))
    pyc.parent.mkdir(exist_ok=True)
    compiled(pyc)
    refused = ask(vendor, patched).refused(3, f"{pyc} is not what its source compiles to")
    pasted(refused, {})
    assert ": verified, " in ask(vendor, patched).ok().out


# What only looks like it.

_HARMLESS: dict[str, Callable[[Path, Path], How]] = {
    "a module beside the package": _put({"vllm.py": EVIL, f"vllm{SO}": b""}),
    "a namespace portion before it": lambda _, tmp: {"env": {"PYTHONPATH": str(put(tmp / "ns", {"vllm/x.py": EVIL}))}},
    "start-up code of an installed distribution": _put(
        distribution("tool", {"tool.pth": b"import t\n", "t/__init__.py": b"import t.more\n", "t/more.py": b""})
    ),
    "a script for interactive use": lambda _, tmp: {"env": {"PYTHONSTARTUP": str(put(tmp, {"s.py": EVIL}) / "s.py")}},
    "a .pth that names a folder behind it": _folder_behind_it,
    "a folder of the package behind a link": _folder_behind_a_link,
}  # fmt: skip


@pytest.mark.parametrize("name", _HARMLESS)
def test_what_python_does_not_take_for_it_is_no_reason_to_doubt(
    vendor: Vendor, patched: Path, tmp_path: Path, name: str
) -> None:
    assert ": verified, " in ask(vendor, patched, **_HARMLESS[name](patched, tmp_path)).ok().out


def test_two_distributions_of_one_name_are_taken_away_by_the_command(
    vendor: Vendor, wheel: Path, site: Path, tmp_path: Path
) -> None:
    shutil.copytree(site / INFO, site / "vllm-0.22.0.dist-info")
    refused = vendor("install", "--python", site.parents[2] / "bin/python").refused(1, "two distributions")
    words = commands(refused.said)[-1]
    python = str(site.parents[2] / "bin/python")
    assert words.count(f"{python} -m pip uninstall --yes vllm") == 2
    pip = f"{shlex.quote(sys.executable)} -m pip --python {shlex.quote(python)}"
    subprocess.run(["bash", "-c", words.replace(f"{python} -m pip", pip)], check=True, capture_output=True)
    vendor("install", "--python", python).refused(4, "There is no vLLM")
