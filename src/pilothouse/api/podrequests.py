"""What a pod as a whole asks for: its containers' sum, or its greatest init container.

Source: upstream's documentation "Resource Management for Pods and Containers", and "Sidecar Containers".
"""

from __future__ import annotations

from decimal import Decimal

from pilothouse.api.objects import Obj, get
from pilothouse.api.quantity import Quantity

Amounts = dict[str, Quantity]


def parsed(values: Obj | None) -> Amounts:
    return {name: Quantity.parse("0" if text is None else str(text)) for name, text in (values or {}).items()}


def add(total: Amounts, more: Amounts) -> None:
    for name, quantity in more.items():
        present = total.get(name)
        total[name] = quantity if present is None else Quantity(present.amount + quantity.amount, present.format)


def greatest(total: Amounts, other: Amounts) -> None:
    for name, quantity in other.items():
        present = total.get(name)
        if present is None or quantity.amount > present.amount:
            total[name] = quantity


def is_pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def of_pod(spec: Obj, kind: str, *, overhead: bool = True) -> Amounts:
    """kind: requests or limits."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        add(total, parsed(get(container, "resources", kind)))
    sidecars: Amounts = {}
    init: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = parsed(get(container, "resources", kind))
        if container.get("restartPolicy") == "Always":
            add(total, own)
            add(sidecars, own)
            own = dict(sidecars)
        else:
            add(own, sidecars)
        greatest(init, own)
    greatest(total, init)
    for name, quantity in parsed(get(spec, "resources", kind)).items():
        if is_pod_level(name):
            total[name] = quantity
    if overhead:
        own = parsed(spec.get("overhead"))
        if kind == "limits":  # overhead counts only where there is a limit
            own = {
                name: quantity for name, quantity in own.items() if name in total and total[name].amount != Decimal(0)
            }
        add(total, own)
    return total
