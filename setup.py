"""What the wheel holds: the first two houses, the dispatcher, and the series as ``kvroles.data``. The rest is pyproject.toml.

The series lies at the top of the project, where people look for it; its folders become packages of data here.
"""

from pathlib import Path

from setuptools import find_packages, setup

_SERIES = ("patches", "vllm_overlay")


def _folders() -> list[str]:
    """The folders of the series, with ``/`` between names."""
    return [d.as_posix() for top in _SERIES for d in (Path(top), *sorted(Path(top).rglob("*"))) if d.is_dir()]


_data = {"kvroles.data." + folder.replace("/", "."): folder for folder in _folders()}
setup(
    packages=[*find_packages("tools", include=["kvroles*", "kvcommand*"]), *_data],
    package_dir={"": "tools", **_data},
    package_data={
        "kvroles": ["py.typed"],
        "kvroles.vendored.image": ["templates/*"],
        **{package: ["*"] for package in _data},
    },
)
