"""Puts every field of every type into the oracle's objects and asks both servers: `tools/differential.py URL Service,Node`.

URL is upstream's kube-apiserver (shared/peers/cluster.sh), fresh; ours is started beside it. The recorded answers cover fields
that the exemplars have; this covers those that they have not, on create, update and update of status. What differs is printed
once for each way in which it does. With `--all` the kinds of exemplars.yaml are asked too, of servers that serve everything
(upstream's with `--runtime-config=api/all=true --feature-gates=AllAlpha=true,AllBeta=true`). `--feature-gates=` gives ours
gates of its own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from oracle import ORACLE, TOKEN, running

from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import Shape, Type, type_of
from pilothouse.clock import RealClock

_SCALARS: dict[str, tuple[Any, ...]] = {
    "string": ("zzz", "Not_A/valid Value!", "1.2.3.4"), "bool": (True,), "int32": (7, -1, 70000), "int64": (7, -1, 70000),
    "float64": (1.5,), "quantity": ("1", "-1500m"), "intOrString": (1, "50%", "zzz"), "bytes": ("YQ==",), "duration": ("5s",),
    "time": ("2026-01-02T03:04:05Z",), "microtime": ("2026-01-02T03:04:05.000000Z",),
}  # fmt: skip
_ASKED_AT_ONCE = 4
_OWN = re.compile(r"\b3[0-2]\d{3}\b|(?<=record )\(\d+\)|\b10\.96\.\d+\.\d+")


def samples(type_: Type, depth: int) -> Iterator[Any]:
    """Values of a type: each field of a struct alone, down to `depth` structs."""
    match type_.shape:
        case Shape.STRUCT:
            yield {}
            for field in type_.fields.values() if depth else ():
                for value in _first(samples(field.type, depth - 1), 2):
                    yield {field.name: value}
        case Shape.LIST:
            assert type_.element is not None
            yield from ([value] for value in _first(samples(type_.element, depth), 5))
        case Shape.MAP:
            assert type_.element is not None
            for value in _first(samples(type_.element, depth), 2):
                yield {"a": value}
                yield {"Not_A/valid Value!": value}
        case Shape.ANY:
            yield {"x": 1}
        case _:
            yield from _SCALARS[type_.name]


def _first(values: Iterator[Any], most: int) -> list[Any]:
    return [value for value, _ in zip(values, range(most), strict=False)]


def grafts(type_: Type, value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """(place, the whole value with a sample there), for every field that it has or could have."""
    if type_.shape is Shape.STRUCT and isinstance(value, dict):
        for field in type_.fields.values():
            if not path and field.name in ("kind", "apiVersion", "metadata"):
                continue
            at = f"{path}/{field.name}"
            if field.name in value and field.type.shape is not Shape.SCALAR:
                for place, inner in grafts(field.type, value[field.name], at, depth):
                    yield place, {**value, field.name: inner}
            else:
                for i, sample in enumerate(samples(field.type, depth)):
                    yield f"{at}#{i}", {**value, field.name: sample}
    elif type_.shape is Shape.LIST and isinstance(value, list) and value:
        assert type_.element is not None
        for place, inner in grafts(type_.element, value[0], f"{path}/0", depth):
            yield place, [inner, *value[1:]]
        yield from ((f"{path}+{i}", [*value, s]) for i, s in enumerate(_first(samples(type_.element, 0), 3)))
    elif type_.shape is Shape.MAP and isinstance(value, dict):
        assert type_.element is not None
        yield from ((f"{path}+{i}", {**value, "zz": s}) for i, s in enumerate(samples(type_.element, depth)))


class Pair:
    """Both servers, asked the same."""

    def __init__(self, oracle: Any, peer: str, ours: str) -> None:
        self._oracle = oracle
        self._servers = [oracle.Server(url, TOKEN) for url in (peer, ours)]
        # The oracle's connections are a thread's own, so each server has threads of its own.
        self._pools = [ThreadPoolExecutor(_ASKED_AT_ONCE) for _ in self._servers]

    def ask(self, requests: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, Any, Any]]:
        """(name, method, path, body, media type: JSON where it is left out) → (name, upstream's facets, ours)."""
        answers = [
            pool.map(lambda r, s=server: self._oracle.shape(*s(*r[1:])), requests)
            for server, pool in zip(self._servers, self._pools, strict=True)
        ]
        for request, wanted, got in zip(requests, *answers, strict=True):
            if wanted["code"] not in (0, 500):  # upstream panicked, or gave up
                yield request[0], self._oracle.facets(wanted), self._oracle.facets(got)


def compared(oracle: Any, pair: Pair, obj: Any, depth: int) -> Iterator[tuple[str, Any, Any]]:
    group, version = split_api_version(obj["apiVersion"])
    type_ = type_of(GVK(group, version, obj["kind"]))
    assert type_ is not None
    base, kind = oracle.collection(obj), obj["kind"]
    one = f"{base}/{obj['metadata']['name']}"
    grafted = list(grafts(type_, obj, "", depth))
    yield from pair.ask([(f"{kind} create {at}", "POST", f"{base}?dryRun=All&fieldManager=a", o) for at, o in grafted])
    list(pair.ask([("", "POST", base, obj)]))
    asyncio.run(RealClock().sleep(1.2))  # times in managedFields are whole seconds, and order the managers
    yield from pair.ask([(f"{kind} update {at}", "PUT", f"{one}?dryRun=All&fieldManager=b", o) for at, o in grafted])
    status = [(at, o) for at, o in grafted if at.startswith("/status")]
    yield from pair.ask(
        [(f"{kind} status {at}", "PUT", f"{one}/status?dryRun=All&fieldManager=b", o) for at, o in status]
    )
    list(pair.ask([("", "DELETE", f"{one}?gracePeriodSeconds=0&propagationPolicy=Background", None)]))


def load_oracle() -> Any:
    spec = importlib.util.spec_from_file_location("oracle_program", ORACLE / "oracle.py")
    assert spec is not None and spec.loader is not None
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    return oracle


def _settled(value: Any) -> Any:
    """Without the numbers in messages that each server gives for itself."""
    return _OWN.sub("N", value) if isinstance(value, str) else value


def report(answers: Iterable[tuple[str, Any, Any]]) -> int:
    """Prints what differs, once for each way; in how many ways."""
    asked, seen = 0, dict[str, list[str]]()
    for name, wanted, got in answers:
        asked += 1
        bad = [k for k in {**wanted, **got} if _settled(wanted.get(k)) != _settled(got.get(k))]
        if bad:
            shown = "\n".join(
                f"  {k}: want {wanted.get(k)!r:.600}\n  {' ' * len(k)}   got {got.get(k)!r:.600}" for k in bad
            )
            seen.setdefault(shown, []).append(name)
    for shown, names in seen.items():
        sys.stdout.write(f"--- {names[0]} (and {len(names) - 1} more)\n{shown}\n")
    sys.stdout.write(f"{asked} asked, {sum(map(len, seen.values()))} differ in {len(seen)} ways\n")
    return len(seen)


def differences(peer: str, ours: str, kinds: set[str], depth: int, *, everything: bool) -> int:
    oracle = load_oracle()
    pair = Pair(oracle, peer, ours)
    for obj in oracle.SETUP:  # one after another: the later ones are in the earlier ones
        list(pair.ask([("", "POST", oracle.collection(obj), obj)]))
    more = yaml.safe_load_all((Path(__file__).parent / "exemplars.yaml").read_text()) if everything else ()
    chosen = [obj for obj in (*oracle.exemplars(), *more) if obj["kind"] in kinds]
    return report(answer for obj in chosen for answer in compared(oracle, pair, obj, depth))


async def main(*arguments: str) -> int:
    everything = "--all" in arguments
    gates = next((a.partition("=")[2] for a in arguments if a.startswith("--feature-gates=")), "")
    peer, kinds, *depth = (a for a in arguments if not a.startswith("--"))
    async with running(everything=everything, gates=gates) as ours:
        return await asyncio.to_thread(
            differences, peer, ours, set(kinds.split(",")), int(depth[0] if depth else 2), everything=everything
        )


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(*sys.argv[1:])) else 0)
