"""The library behind the command ``kv-roles`` and tools/*.py, a folder for each stage; CONTRIBUTING.md shows the folders.

What ``tools/apply.py`` imports needs the standard library and git alone, because it must run in a bare image.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout runs without an installer that would have said so
    sys.stderr.write(
        "vllm-kv-roles needs Python 3.11 or newer, and this is Python "
        f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable}). Run it with a newer one.\n"
    )
    raise SystemExit(2)
if sys.platform == "win32":  # the modules that Windows lacks would end every command in a traceback
    sys.stderr.write(
        "vllm-kv-roles does not run on Windows: it writes through folder handles and file locks that Windows lacks. "
        "Run it in WSL, or on Linux or macOS.\n"
    )
    raise SystemExit(2)
