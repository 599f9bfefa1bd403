"""Run the constructor of a tree's NIXL connector without vLLM: its real bytes, stand-ins for what they call.

The class and its bases within the file are cut out of the source by the syntax tree, reduced to their
``__init__``, compiled and called with a configuration that holds a role. Whatever else the constructor asks
for is answered by a stand-in. A release takes milliseconds; importing vLLM, as ``kvworkshop.runtime.construct`` does,
takes half a minute.
"""

from __future__ import annotations

import ast
import builtins
from typing import Any

from kvroles.errors import Unproven


class _Anything:
    """Stands for any object: attributes, items and calls give more of it; every order comparison is false."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    def __getitem__(self, key: object) -> Any:
        return _Anything()

    def __call__(self, *_: object, **__: object) -> Any:
        return _Anything()

    def __iter__(self) -> Any:
        return iter(())

    def __lt__(self, other: object) -> bool:
        return False

    __gt__ = __le__ = __ge__ = __lt__


class _Log(_Anything):
    """A logger that keeps warnings, with vLLM's rule that ``warning_once`` says a thing once per process."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def warning(self, message: str, *args: object, **_: object) -> None:
        self.messages.append(message % args if args else message)

    def warning_once(self, message: str, *args: object, **_: object) -> None:
        text = message % args if args else message
        if text not in self.messages:
            self.messages.append(text)


class _Transfer(_Anything):
    """A KVTransferConfig with one role and no extra configuration."""

    def __init__(self, kv_role: str) -> None:
        self.kv_role = kv_role
        self.engine_id = "engine"
        self.kv_connector_extra_config: dict[str, object] = {}
        self.is_kv_producer = kv_role in ("kv_producer", "kv_both")
        self.is_kv_consumer = kv_role in ("kv_consumer", "kv_both")

    def get_from_extra_config(self, _: str, default: object) -> object:
        return default


class _Config(_Anything):
    """A VllmConfig that carries one KVTransferConfig."""

    def __init__(self, kv_role: str) -> None:
        self.kv_transfer_config = _Transfer(kv_role)


class _Base:
    """Stands for the connector's base class from another file, which takes anything."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass


class _Role:
    """Stands for KVConnectorRole."""

    SCHEDULER = "scheduler"
    WORKER = "worker"


def light_construct(source: bytes, kv_role: str, connector: str = "NixlConnector") -> list[str]:
    """Construct ``connector`` as scheduler and as worker, as one process would; returns the warnings.

    ``source`` is the file that defines the connector; ``connector`` names a class in it, or another name
    assigned from one (``NixlConnector`` is such a name since 0.24.0). A list of one message for ``kv_both``
    and of none for an explicit role is what the contract asks for.

    Raises :class:`kvroles.errors.Unproven` where the file has no such class, or its constructor fails.
    """
    module = ast.parse(source)
    log = _Log()
    made = _compile(module, connector, log)
    cache = (_Anything(),) if _takes_cache(module, connector) else ()
    for side in (_Role.SCHEDULER, _Role.WORKER):
        try:
            made(_Config(kv_role), side, *cache)
        except Exception as e:
            raise Unproven(
                f"{connector}.__init__ fails for kv_role={kv_role!r} as {side}",
                expected="a constructor that runs",
                found=f"{type(e).__name__}: {e}",
                fix="Read the constructor in the tree: it may ask for something new of its configuration",
            ) from e
    return log.messages


def _chain(module: ast.Module, connector: str) -> list[ast.ClassDef]:
    """The class and those of its bases that the file defines, most basic first."""
    classes = {n.name: n for n in module.body if isinstance(n, ast.ClassDef)}
    name = _aliases(module).get(connector, connector)
    if name not in classes:
        raise Unproven(
            f"The file does not define {connector}",
            expected=f"a class {name}",
            found=", ".join(sorted(classes)) or "no class at all",
            fix="Check that this is the connector's file of a release with NixlConnector",
        )
    chain: list[ast.ClassDef] = []
    wanted = [name]
    while wanted:
        node = classes.get(wanted.pop(0))
        if node is not None and node not in chain:
            chain.insert(0, node)
            wanted += [b.id for b in node.bases if isinstance(b, ast.Name)]
    return chain


def _aliases(module: ast.Module) -> dict[str, str]:
    """Names that the module gives to another name: ``NixlConnector = NixlPullConnector``."""
    return {
        target.id: node.value.id
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _initializer(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)


def _takes_cache(module: ast.Module, connector: str) -> bool:
    """Whether the constructor takes a KV cache configuration (it does from 0.11.1 on)."""
    initializers = [i for i in map(_initializer, _chain(module, connector)) if i is not None]
    return bool(initializers) and any(a.arg == "kv_cache_config" for a in initializers[-1].args.args)


def _compile(module: ast.Module, connector: str, log: _Log) -> Any:
    """The connector's class, reduced to constructors, with stand-ins for every other name they use."""
    chain = _chain(module, connector)
    local = {node.name for node in chain}
    names = _constants(module) | {"logger": log, "KVConnectorRole": _Role, "_Base": _Base}
    reduced: list[ast.stmt] = []
    for node in chain:
        bases: list[ast.expr] = [b for b in node.bases if isinstance(b, ast.Name) and b.id in local]
        initializer = _initializer(node)
        body: list[ast.stmt] = [ast.Pass()]
        if initializer is not None:
            initializer.decorator_list = []
            for argument in (*initializer.args.args, *initializer.args.kwonlyargs):
                argument.annotation = None
            initializer.returns = None
            body = [initializer]
            for name in ast.walk(initializer):
                if isinstance(name, ast.Name) and name.id not in names and not hasattr(builtins, name.id):
                    names[name.id] = _Anything()
        reduced.append(ast.ClassDef(node.name, bases or [ast.Name("_Base", ast.Load())], [], body, []))
    program = ast.fix_missing_locations(ast.Module(reduced, []))
    exec(compile(program, "<connector>", "exec"), names)
    return names[chain[-1].name]


def _constants(module: ast.Module) -> dict[str, Any]:
    """The module's literal constants, so that a message kept in one is seen as it is."""
    found: dict[str, Any] = {}
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found
