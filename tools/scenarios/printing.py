"""Tables: objects in states that only controllers and kubelets bring about, as they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from sidebyside import Side

NS = "sides-print"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_STATES = Path(__file__).parent / "states.yaml"


def _plurals(side: Side) -> dict[tuple[str, str], tuple[str, bool]]:
    found = {}
    groups = side.send("GET", "/apis").json["groups"]
    for version in ("v1", *(v["groupVersion"] for g in groups for v in g["versions"])):
        base = "/api/v1" if version == "v1" else f"/apis/{version}"
        for r in side.send("GET", base).json.get("resources", ()):
            if "/" not in r["name"] and "list" in r["verbs"]:
                found[(version, r["kind"])] = (f"{base}{{}}/{r['name']}", r["namespaced"])
    return found


def print_states(side: Side) -> None:
    """Each object of states.yaml is created, given its status, and shown; whoever is marked is deleted as well."""
    plurals = _plurals(side)
    for made in ({"kind": "Namespace", "name": NS}, {"kind": "ServiceAccount", "name": "default"}):
        at = "/api/v1/namespaces" + ("" if made["kind"] == "Namespace" else f"/{NS}/serviceaccounts")
        side.send("POST", at, {"apiVersion": "v1", "kind": made["kind"], "metadata": {"name": made["name"]}})
    for number, state in enumerate(yaml.safe_load_all(_STATES.read_text())):
        _show(side, plurals, state, f"x{number}")


def _show(side: Side, plurals: dict[tuple[str, str], tuple[str, bool]], state: Any, name: str) -> None:
    template, namespaced = plurals[(state["apiVersion"], state["kind"])]
    path = template.format(f"/namespaces/{NS}" if namespaced else "")
    obj = {k: v for k, v in state.items() if k not in ("status", "deleted")}
    obj["metadata"] = {"name": name, **(state.get("metadata") or {})}
    name = obj["metadata"]["name"]
    label = f"{state['kind']} { {k: v for k, v in state.items() if k not in ('kind', 'apiVersion')}!s:.500}"
    made = side.send("POST", path, obj)
    if made.status == 409:
        side.send("DELETE", f"{path}/{name}?gracePeriodSeconds=0")
        made = side.send("POST", path, obj)
    if made.status != 201:
        side.record(f"{label} is not created", made)
        return
    if "status" in state:
        patch = {"status": state["status"]}
        put = side.send("PATCH", f"{path}/{name}/status", patch, content_type="application/merge-patch+json")
        if put.status != 200:
            side.record(f"{label} gets no status", put)
    if state.get("deleted"):
        side.send("DELETE", f"{path}/{name}")
    side.ask("GET", f"{path}/{name}?includeObject=None", label=label, accept=_TABLE)
    side.send(
        "PATCH", f"{path}/{name}", {"metadata": {"finalizers": None}}, content_type="application/merge-patch+json"
    )
    side.send("DELETE", f"{path}/{name}?gracePeriodSeconds=0&propagationPolicy=Background")
