"""The owner graph: a node for each object by its uid, and for each owner that is spoken of but not seen yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from pilothouse.api.objects import Obj

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_ABSENT_MAX: Final = 500


class Identity(NamedTuple):
    """Ordered as upstream orders candidates for an unseen owner's identity."""

    kind: str
    api_version: str
    namespace: str
    name: str
    uid: str


def owner_identity(ref: Obj, namespace: str) -> Identity:
    return Identity(ref.get("kind", ""), ref.get("apiVersion", ""), namespace, ref.get("name", ""), ref.get("uid", ""))


def is_named_by(identity: Identity, ref: Obj) -> bool:
    """The reference has the object's coordinates (the namespace is not part of a reference)."""
    return owner_identity(ref, identity.namespace) == identity


class Node:
    __slots__ = ("being_deleted", "deleting_dependents", "dependents", "identity", "owners", "virtual")

    def __init__(self, identity: Identity, *, virtual: bool = False) -> None:
        self.identity = identity
        self.virtual = virtual  # known from its dependents' references only
        self.owners: list[Obj] = []
        self.dependents: dict[str, Node] = {}
        self.being_deleted = False
        self.deleting_dependents = False

    def blocking_dependents(self) -> list[Node]:
        """Those that must be gone before this one may go, in foreground deletion."""
        uid = self.identity.uid
        return [
            d
            for d in self.dependents.values()
            if any(r.get("uid") == uid and r.get("blockOwnerDeletion") for r in d.owners)
        ]


class AbsentOwners:
    """The owners found absent lately: a uid never comes back, so this needs no expiry."""

    def __init__(self) -> None:
        self._known: OrderedDict[Identity, None] = OrderedDict()

    def add(self, identity: Identity) -> None:
        self._known[identity] = None
        self._known.move_to_end(identity)
        if len(self._known) > _ABSENT_MAX:
            self._known.popitem(last=False)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._known


def _is_deleted(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def has_finalizer(obj: Obj, finalizer: str) -> bool:
    return finalizer in (obj["metadata"].get("finalizers") or ())


def _starts(old: Obj | None, new: Obj, finalizer: str) -> bool:
    """Its deletion has just begun with this finalizer."""
    if not _is_deleted(new) or not has_finalizer(new, finalizer):
        return False
    return old is None or not _is_deleted(old) or not has_finalizer(old, finalizer)


class Graph:
    """Follows the informers' events. `delete` and `orphan` take the uid of a node to look at."""

    def __init__(
        self,
        delete: Callable[[str], None],
        delete_later: Callable[[str], None],
        orphan: Callable[[str], None],
        report: Callable[[Identity, Obj], None],
    ) -> None:
        self.nodes: dict[str, Node] = {}
        self.absent = AbsentOwners()
        self._delete, self._delete_later, self._orphan = delete, delete_later, orphan
        self._report = report  # (dependent, reference): the owner is in another namespace

    def observe(self, identity: Identity, old: Obj | None, new: Obj) -> None:
        """An object was added or changed."""
        owners: list[Obj] = new["metadata"].get("ownerReferences") or []
        node = self.nodes.get(identity.uid)
        if node is None:
            node = self.nodes[identity.uid] = Node(identity)
            node.owners = owners
            self._add_to_owners(node, owners)
        else:
            if node.virtual:
                self._reveal(node, identity)
            if owners != node.owners:
                self._change_owners(node, owners)
        if _is_deleted(new):
            node.being_deleted = True
            if old is None and has_finalizer(new, FOREGROUND):
                node.deleting_dependents = True
        if _starts(old, new, ORPHAN):
            self._orphan(identity.uid)
        elif _starts(old, new, FOREGROUND):
            node.deleting_dependents = True
            for uid in node.dependents:
                self._delete(uid)
            self._delete(identity.uid)

    def _reveal(self, node: Node, identity: Identity) -> None:
        """An owner that was spoken of is seen. Dependents whose reference says it wrongly are looked at again."""
        if identity != node.identity:
            for dependent in self._split(node, identity)[1]:
                if identity.namespace and dependent.identity.namespace != identity.namespace:
                    self._report_invalid(dependent, identity.uid)
                self._delete(dependent.identity.uid)
            node.identity = identity
        node.virtual = False

    def _change_owners(self, node: Node, owners: list[Obj]) -> None:
        old = {r.get("uid", ""): r for r in node.owners}
        new = {r.get("uid", ""): r for r in owners}
        for uid, ref in old.items():
            unblocked = ref.get("blockOwnerDeletion") and not new.get(uid, {}).get("blockOwnerDeletion")
            if unblocked and uid in self.nodes:
                self._delete(uid)
        node.owners = owners
        self._add_to_owners(node, [r for uid, r in new.items() if uid not in old])
        for uid in old.keys() - new.keys():
            owner = self.nodes.get(uid)
            if owner is not None:
                owner.dependents.pop(node.identity.uid, None)

    def _add_to_owners(self, node: Node, owners: Iterable[Obj]) -> None:
        suspicious = False
        namespace = node.identity.namespace
        for ref in owners:
            uid = ref.get("uid", "")
            owner = self.nodes.get(uid)
            if owner is None:
                owner = self.nodes[uid] = Node(owner_identity(ref, namespace), virtual=True)
                self._delete(uid)  # looks whether it is there
            elif owner.identity.namespace and owner.identity.namespace != namespace:
                if not owner.virtual:
                    self._report_invalid(node, uid)
                suspicious = True
            elif not is_named_by(owner.identity, ref) or (
                owner.virtual and not owner.identity.namespace and owner.identity.namespace != namespace
            ):
                suspicious = True
            owner.dependents[node.identity.uid] = node
        if suspicious:
            self._delete(node.identity.uid)

    def _report_invalid(self, dependent: Node, uid: str) -> None:
        for ref in dependent.owners:
            if ref.get("uid") == uid:
                self._report(dependent.identity, ref)
                return

    def forget(self, identity: Identity) -> None:
        """An object was deleted."""
        node = self.nodes.get(identity.uid)
        if node is not None:
            self._remove(node, identity)

    def found_absent(self, identity: Identity) -> None:
        """A live look found that no object has this identity, though the graph has a node for it."""
        node = self.nodes.get(identity.uid)
        if node is None:
            return
        if not node.virtual and node.identity == identity:
            self._remove(node, identity)
            return
        matching, others = self._split(node, identity)
        if node.virtual and not others:
            self._remove(node, identity)
            return
        if matching:
            self.absent.add(identity)
            for dependent in matching:
                self._delete(dependent.identity.uid)
        if node.virtual and node.identity == identity:
            alternate = self._alternate(others, identity)
            if alternate is not None:
                node.identity = alternate
                self._delete_later(identity.uid)

    def _remove(self, node: Node, identity: Identity) -> None:
        uid = node.identity.uid
        del self.nodes[uid]
        for ref in node.owners:
            owner = self.nodes.get(ref.get("uid", ""))
            if owner is not None:
                owner.dependents.pop(uid, None)
                if owner.deleting_dependents:
                    self._delete(owner.identity.uid)
                elif owner.virtual and not owner.dependents:
                    del self.nodes[owner.identity.uid]
        if node.dependents:
            self.absent.add(identity)
            for dependent in node.dependents:
                self._delete(dependent)

    @staticmethod
    def _split(node: Node, identity: Identity) -> tuple[list[Node], list[Node]]:
        """The dependents whose references fit the identity, and those that have one that does not."""
        matching, others = [], []
        for dependent in node.dependents.values():
            refs = [r for r in dependent.owners if r.get("uid") == identity.uid]
            if identity.namespace and identity.namespace != dependent.identity.namespace:
                others.append(dependent)
                continue
            if any(is_named_by(identity, r) for r in refs):
                matching.append(dependent)
            if any(not is_named_by(identity, r) for r in refs):
                others.append(dependent)
        return matching, others

    @staticmethod
    def _alternate(dependents: list[Node], absent: Identity) -> Identity | None:
        """The next of the identities that dependents give to an owner that was not found under `absent`."""
        candidates = set()
        for dependent in dependents:
            for ref in dependent.owners:
                if ref.get("uid") != absent.uid:
                    continue
                found = owner_identity(ref, dependent.identity.namespace)
                if not absent.namespace and found[:2] == absent[:2]:
                    found = found._replace(namespace="")
                if found != absent:
                    candidates.add(found)
        following = [c for c in candidates if c > absent]
        return min(following or candidates, default=None)
