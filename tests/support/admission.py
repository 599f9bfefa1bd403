"""A ValidatingAdmissionPolicy and its bindings, evaluated with cel-python as an API server does it.

Of the server's CEL library only ``join`` and ``size`` on lists are used here; a function that cel-python lacks is added below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import celpy
import celpy.celtypes
import yaml

Object = dict[str, Any]


def _join(items: Any, between: Any = "") -> celpy.celtypes.StringType:
    """Kubernetes' list function ``join`` (its documentation, "Common Expression Language", list library)."""
    return celpy.celtypes.StringType(str(between).join(str(item) for item in items))


class Answer(NamedTuple):
    """What the server does with an object: ``actions`` of the binding, empty when it is admitted; ``message`` for the user."""

    actions: tuple[str, ...]
    message: str


class Policy:
    """``policy.yaml`` in ``folder``, compiled once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec: Object = yaml.safe_load((folder / "policy.yaml").read_text())["spec"]
        environment = celpy.Environment()

        def compiled(source: str) -> celpy.Runner:
            return environment.program(environment.compile(source), functions={"join": _join})

        self._conditions = [compiled(c["expression"]) for c in self.spec["matchConditions"]]
        self._variables = [(v["name"], compiled(v["expression"])) for v in self.spec["variables"]]
        self._validations = [
            (compiled(v["expression"]), compiled(v["messageExpression"])) for v in self.spec["validations"]
        ]

    def admit(self, binding: str, new: Object, old: Object | None = None, *, resource: str | None = None) -> Answer:
        """What creating ``new``, or changing ``old`` to it, is answered under the binding in file ``binding``.

        ``resource`` is the plural name of the kind, by default its lower case with an s. Raises celpy.CELEvalError where
        evaluation fails, which ``failurePolicy`` then decides.
        """
        bound = yaml.safe_load((self.folder / binding).read_text())["spec"]
        resource = resource or new["kind"].lower() + "s"
        matched = any(_names(rule, new, resource) for rule in self.spec["matchConstraints"]["resourceRules"])
        excluded = bound.get("matchResources", {}).get("excludeResourceRules", [])
        if not matched or any(_names(rule, new, resource) for rule in excluded):
            return Answer((), "")
        given: dict[str, Any] = {
            "object": celpy.json_to_cel(new),
            "oldObject": celpy.json_to_cel(old),
            "request": celpy.json_to_cel({"operation": "CREATE" if old is None else "UPDATE"}),
        }
        if not all(condition.evaluate(given) for condition in self._conditions):
            return Answer((), "")
        values = celpy.celtypes.MapType()
        given["variables"] = values
        for name, program in self._variables:
            values[celpy.celtypes.StringType(name)] = program.evaluate(given)
        for holds, message in self._validations:
            if not holds.evaluate(given):
                return Answer(tuple(bound["validationActions"]), str(message.evaluate(given)))
        return Answer((), "")


def _names(rule: Object, new: Object, resource: str) -> bool:
    """Whether a resource rule names the object's group and resource."""
    group = new["apiVersion"].rpartition("/")[0]
    return group in rule["apiGroups"] and resource in rule["resources"]
