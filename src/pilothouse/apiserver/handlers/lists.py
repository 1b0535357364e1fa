"""GET of a collection: pages, resource versions and selectors.

Source: upstream's storage.ValidateListOptions, etcd3's store and KEP-365 (pages), KEP-2340 (consistent reads from the cache).
"""

from __future__ import annotations

import base64
import posixpath
import re
from itertools import islice
from typing import Any, Final, NamedTuple

import orjson

from pilothouse.api import errors, field
from pilothouse.api.codec import text as text_
from pilothouse.api.codec.explain import go_kind
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response
from pilothouse.api.objects import Obj
from pilothouse.apiserver import answers
from pilothouse.apiserver.handlers import selection
from pilothouse.apiserver.handlers.options import ListOptions, list_options
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.handlers.selection import Selection
from pilothouse.apiserver.pacing import Pace
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.storage import store_failure
from pilothouse.apiserver.registry.watching import Predicate
from pilothouse.store.interface import Compacted, FutureRevision, Range, StoreError, prefix_end

WAIT_S: Final = 3.0  # for a revision that the store has not reached
_PAGE_LEAST: Final = 100  # keys read at once where a selector may leave few of them
_PAGE_MOST: Final = 10_000
_JUDGED_AT_ONCE: Final = 20
_UINT = re.compile(r"[0-9]+")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")  # in base64 for URLs

_EXPIRED = "The resourceVersion for the provided list is too old."
_CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing "
    "with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the "
    "time the first chunk was returned and now may show up in the list."
)


def parse_revision(text: str) -> int:
    """Raises 400 for what is not one."""
    if _UINT.fullmatch(text) and len(text) < 24:
        value = int(text)
        if value < 1 << 64:
            return value
        why = "value out of range"
    else:
        why = "value out of range" if _UINT.fullmatch(text) else "invalid syntax"
    error = field.invalid("resourceVersion", text, f"strconv.ParseUint: parsing {field.quote(text)}: {why}")
    raise errors.bad_request(f"invalid resource version: {error}")


def too_large(wanted: int, current: int, retry_s: int = 1) -> StatusError:
    error = errors.timeout(f"Timeout: Too large resource version: {wanted}, current: {current}", retry_s)
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    error.details = {"causes": causes, **(error.details or {})}
    return error


async def wait_for(scope: Scope, revision: int) -> None:
    """Until the cache is at least as new as `revision`. Raises 504 where that takes too long."""
    await scope.storage.cache.ready()
    if scope.storage.cache.revision >= revision:
        return
    try:
        async with scope.core.clock.timeout(WAIT_S):
            await scope.storage.feed.wait(revision)
    except TimeoutError:
        raise too_large(revision, scope.storage.cache.revision) from None


class Token(NamedTuple):
    """A continue token: the key to go on from, below the list's prefix, and the revision of the first page (-1: the newest)."""

    revision: int
    start: str


def encode_token(token: Token) -> str:
    data = orjson.dumps({"v": "meta.k8s.io/v1", "rv": token.revision, "start": "/" + token.start})
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_token(text: str) -> Token:
    def bad(why: str) -> StatusError:
        return errors.bad_request(f"invalid continue token: continue key is not valid{why}")

    illegal = _ILLEGAL.search(text)
    if illegal or len(text) % 4 == 1:
        raise bad(f": illegal base64 data at input byte {illegal.start() if illegal else len(text) - 1}")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    try:
        data = text_.from_json(raw)
    except text_.Malformed as error:
        raise bad(f": {error}") from None
    wrong = ": json: cannot unmarshal {} into Go "
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise bad(wrong.format(go_kind(data)) + "value of type storage.continueToken")
    read: dict[str, Any] = {"v": "", "rv": 0, "start": ""}
    for name, zero in read.items():
        value = data.get(name)
        if value is None:
            continue
        if not isinstance(value, type(zero)) or isinstance(value, bool):
            what = f"number {value}" if isinstance(value, float) and name == "rv" else go_kind(value)
            wanted = "int64" if name == "rv" else "string"
            raise bad(wrong.format(what) + f"struct field continueToken.{name} of type {wanted}")
        read[name] = value
    version, revision, start = read["v"], read["rv"], read["start"]
    if version != "meta.k8s.io/v1":
        raise bad(f": server does not recognize this encoded version {version}")
    if revision == 0:
        raise bad(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise bad(": encoded start key empty (version meta.k8s.io/v1)")
    key = start if start.startswith("/") else "/" + start
    if posixpath.normpath(key).replace("//", "/", 1) != key:
        raise bad(f": {start}")
    return Token(revision, key[1:])


async def handle(scope: Scope) -> Response:
    options = list_options(scope.request.query)
    chosen = selection.select(scope, options)
    entries, meta = await find(scope, options, chosen)
    await scope.prepare(entries)
    return await answers.of_list(scope, entries, meta)


async def find(scope: Scope, options: ListOptions, chosen: Selection) -> tuple[list[Entry], Obj]:
    """The entries that a list has, and its metadata."""
    token = None
    exact = 0
    wanted = None
    if options.continue_:
        token = decode_token(options.continue_)
        if options.resource_version not in ("", "0"):
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        exact = max(token.revision, 0)
    elif options.resource_version:
        wanted = parse_revision(options.resource_version)
        if options.match == "Exact" or (not options.match and options.limit > 0 and wanted and not chosen.key):
            exact = wanted
    cache = scope.storage.cache
    await cache.ready()
    if chosen.trigger is not None:
        await cache.index(chosen.trigger)
    if exact:
        if not (cache.changed_at <= exact <= cache.revision):
            return await _of_the_past(scope, options, chosen, exact, token)
    elif wanted:
        await wait_for(scope, wanted)
    elif wanted is None:
        try:
            await scope.storage.feed.fresh()
        except StoreError as error:
            raise store_failure(error) from error
        await cache.ready()
    return await _of_the_present(scope, options, chosen, exact or cache.revision, token)


async def _of_the_present(
    scope: Scope, options: ListOptions, chosen: Selection, revision: int, token: Token | None
) -> tuple[list[Entry], Obj]:
    cache = scope.storage.cache
    meta: Obj = {"resourceVersion": str(revision)}
    if chosen.key:
        one = cache.get(chosen.key) if token is None else None  # nothing comes after the one object
        return ([one] if one is not None and chosen.matches(one) else []), meta
    root = chosen.root(scope)
    entries = cache.entries_from(root + token.start, chosen.namespace) if token else cache.entries(chosen.namespace)
    limit = options.limit if options.resource_version != "0" else 0
    if chosen.predicate is None:
        page = list(islice(entries, limit if limit > 0 else None))
        left = cache.count_after(page[-1].key, chosen.namespace) if page and limit > 0 else 0
    else:
        having = cache.having(chosen.trigger) if chosen.trigger is not None else None
        if having is None:
            having = list(entries)
        elif token:
            having = [entry for entry in having if entry.key >= root + token.start]
        # Whether there is more is asked of what the selector looked at, not of what it let pass.
        page = await _matching(scope, having, chosen.predicate, limit if limit > 0 else None)
        left = int(len(page) == limit and page[-1] is not having[-1]) if page else 0
    if len(page) >= limit > 0 and left:
        _more(meta, revision, root, page[-1].key)
        if chosen.predicate is None:
            meta["remainingItemCount"] = left
    return page, meta


async def _matching(scope: Scope, entries: list[Entry], predicate: Predicate, wanted: int | None) -> list[Entry]:
    """The first `wanted` that match. What a selector looks at is read from an entry's bytes once, which takes its time."""
    found: list[Entry] = []
    pace = Pace(scope.core.clock)
    for start in range(0, len(entries), _JUDGED_AT_ONCE):
        await pace.rest()
        found += filter(predicate, entries[start : start + _JUDGED_AT_ONCE])
        if wanted is not None and len(found) >= wanted:
            return found[:wanted]
    return found


def _more(meta: Obj, revision: int, root: str, last: str) -> None:
    meta["continue"] = encode_token(Token(revision, last.removeprefix(root) + "\0"))


async def _of_the_past(
    scope: Scope, options: ListOptions, chosen: Selection, revision: int, token: Token | None
) -> tuple[list[Entry], Obj]:
    """A page of the state at `revision`, from the store's history."""
    store = scope.storage.store
    root = chosen.root(scope)
    meta: Obj = {"resourceVersion": str(revision)}
    limit = options.limit
    found: list[Entry] = []
    remaining = 0
    try:
        if chosen.key:
            result = await store.range(Range(chosen.key.encode(), revision=revision))
            kvs = result.kvs if token is None else ()
            entries = [Entry.of_value(scope.served.stored, chosen.key, kv.mod_revision, kv.value) for kv in kvs]
            return [e for e in entries if chosen.matches(e)], meta
        start = (root + token.start if token else root).encode()
        end = prefix_end(root.encode())
        size = 0 if limit <= 0 else limit if chosen.predicate is None else max(limit, _PAGE_LEAST)
        while True:
            result = await store.range(Range(start, end, limit=size, revision=revision))
            for read, kv in enumerate(result.kvs, 1):
                entry = Entry.of_value(scope.served.stored, kv.key.decode(), kv.mod_revision, kv.value)
                if chosen.matches(entry):
                    found.append(entry)
                if len(found) == limit > 0:
                    remaining = result.count - read
                    break
            if len(found) == limit > 0 or not result.more:
                break
            start = result.kvs[-1].key + b"\0"
            size = min(size * 2, _PAGE_MOST)
    except Compacted:
        if token is None:
            raise errors.gone(_EXPIRED) from None
        error = errors.gone(_CONTINUE_EXPIRED)
        error.list_meta = {"continue": encode_token(Token(-1, token.start))}
        raise error from None
    except FutureRevision:
        retry_s = 0 if chosen.key else 1
        raise too_large(revision, scope.storage.cache.revision, retry_s) from None
    except StoreError as error:
        raise store_failure(error) from error
    if remaining:
        _more(meta, revision, root, found[-1].key)
        if chosen.predicate is None:
            meta["remainingItemCount"] = remaining
    return found, meta
