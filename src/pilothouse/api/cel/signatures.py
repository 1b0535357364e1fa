"""The functions that an expression can call, by overload: `id: receiver.name(arguments) -> result`.

Sources: the CEL specification's list of standard definitions, cel-go's extensions (optional types, strings 2, sets, lists 3,
two-variable comprehensions) and the documentation's list of Kubernetes' libraries. Capital letters are type parameters.
The identifiers are upstream's: costs go by them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pilothouse.api.cel.types import NAMED, Type, list_of, map_of, optional_of, param, type_of


@dataclass(frozen=True, slots=True)
class Overload:
    id: str
    params: tuple[Type, ...]  # the receiver first
    result: Type
    member: bool
    type_params: tuple[str, ...]


_COMPARABLE: Final = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_SUMMABLE: Final = ("int", "uint", "double", "duration")
_ORDERED: Final = (
    ("bool", "bool", "bool"), ("int64", "int", "int"), ("int64_double", "int", "double"), ("int64_uint64", "int", "uint"),
    ("uint64", "uint", "uint"), ("uint64_double", "uint", "double"), ("uint64_int64", "uint", "int"),
    ("double", "double", "double"), ("double_int64", "double", "int"), ("double_uint64", "double", "uint"),
    ("string", "string", "string"), ("bytes", "bytes", "bytes"), ("timestamp", "timestamp", "timestamp"),
    ("duration", "duration", "duration"),
)  # fmt: skip

_OPERATORS: Final = """
conditional: _?_:_(bool, A, A) -> A
logical_and: _&&_(bool, bool) -> bool
logical_or: _||_(bool, bool) -> bool
logical_not: !_(bool) -> bool
not_strictly_false: @not_strictly_false(bool) -> bool
equals: _==_(A, A) -> bool
not_equals: _!=_(A, A) -> bool
add_bytes: _+_(bytes, bytes) -> bytes
add_double: _+_(double, double) -> double
add_duration_duration: _+_(duration, duration) -> duration
add_duration_timestamp: _+_(duration, timestamp) -> timestamp
add_timestamp_duration: _+_(timestamp, duration) -> timestamp
add_int64: _+_(int, int) -> int
add_list: _+_(list(A), list(A)) -> list(A)
add_string: _+_(string, string) -> string
add_uint64: _+_(uint, uint) -> uint
divide_double: _/_(double, double) -> double
divide_int64: _/_(int, int) -> int
divide_uint64: _/_(uint, uint) -> uint
modulo_int64: _%_(int, int) -> int
modulo_uint64: _%_(uint, uint) -> uint
multiply_double: _*_(double, double) -> double
multiply_int64: _*_(int, int) -> int
multiply_uint64: _*_(uint, uint) -> uint
negate_double: -_(double) -> double
negate_int64: -_(int) -> int
subtract_double: _-_(double, double) -> double
subtract_duration_duration: _-_(duration, duration) -> duration
subtract_int64: _-_(int, int) -> int
subtract_timestamp_duration: _-_(timestamp, duration) -> timestamp
subtract_timestamp_timestamp: _-_(timestamp, timestamp) -> duration
subtract_uint64: _-_(uint, uint) -> uint
index_list: _[_](list(A), int) -> A
index_map: _[_](map(A, B), A) -> B
optional_list_index_int: _[_](optional(list(V)), int) -> optional(V)
optional_map_index_value: _[_](optional(map(K, V)), K) -> optional(V)
list_optindex_optional_int: _[?_](list(V), int) -> optional(V)
optional_list_optindex_optional_int: _[?_](optional(list(V)), int) -> optional(V)
map_optindex_optional_value: _[?_](map(K, V), K) -> optional(V)
optional_map_optindex_optional_value: _[?_](optional(map(K, V)), K) -> optional(V)
in_list: @in(A, list(A)) -> bool
in_map: @in(A, map(A, B)) -> bool
"""

_STANDARD: Final = """
size_bytes: size(bytes) -> int
bytes_size: bytes.size() -> int
size_list: size(list(A)) -> int
list_size: list(A).size() -> int
size_map: size(map(A, B)) -> int
map_size: map(A, B).size() -> int
size_string: size(string) -> int
string_size: string.size() -> int
type: type(A) -> type(A)
bool_to_bool: bool(bool) -> bool
string_to_bool: bool(string) -> bool
bytes_to_bytes: bytes(bytes) -> bytes
string_to_bytes: bytes(string) -> bytes
double_to_double: double(double) -> double
int64_to_double: double(int) -> double
string_to_double: double(string) -> double
uint64_to_double: double(uint) -> double
duration_to_duration: duration(duration) -> duration
string_to_duration: duration(string) -> duration
to_dyn: dyn(A) -> dyn
int64_to_int64: int(int) -> int
double_to_int64: int(double) -> int
duration_to_int64: int(duration) -> int
string_to_int64: int(string) -> int
timestamp_to_int64: int(timestamp) -> int
uint64_to_int64: int(uint) -> int
string_to_string: string(string) -> string
bool_to_string: string(bool) -> string
bytes_to_string: string(bytes) -> string
double_to_string: string(double) -> string
duration_to_string: string(duration) -> string
int64_to_string: string(int) -> string
timestamp_to_string: string(timestamp) -> string
uint64_to_string: string(uint) -> string
ip_to_string: string(IP) -> string
cidr_to_string: string(CIDR) -> string
timestamp_to_timestamp: timestamp(timestamp) -> timestamp
int64_to_timestamp: timestamp(int) -> timestamp
string_to_timestamp: timestamp(string) -> timestamp
uint64_to_uint64: uint(uint) -> uint
double_to_uint64: uint(double) -> uint
int64_to_uint64: uint(int) -> uint
string_to_uint64: uint(string) -> uint
contains_string: string.contains(string) -> bool
ends_with_string: string.endsWith(string) -> bool
starts_with_string: string.startsWith(string) -> bool
matches: matches(string, string) -> bool
matches_string: string.matches(string) -> bool
duration_to_hours: duration.getHours() -> int
duration_to_minutes: duration.getMinutes() -> int
duration_to_seconds: duration.getSeconds() -> int
duration_to_milliseconds: duration.getMilliseconds() -> int
"""

_TIMES: Final = (
    ("getFullYear", "timestamp_to_year"), ("getMonth", "timestamp_to_month"),
    ("getDayOfYear", "timestamp_to_day_of_year"), ("getDayOfMonth", "timestamp_to_day_of_month"),
    ("getDate", "timestamp_to_day_of_month_1_based"), ("getDayOfWeek", "timestamp_to_day_of_week"),
    ("getHours", "timestamp_to_hours"), ("getMinutes", "timestamp_to_minutes"),
    ("getSeconds", "timestamp_to_seconds"), ("getMilliseconds", "timestamp_to_milliseconds"),
)  # fmt: skip

_EXTENSIONS: Final = """
optional_of: optional.of(V) -> optional(V)
optional_ofNonZeroValue: optional.ofNonZeroValue(V) -> optional(V)
optional_none: optional.none() -> optional(V)
optional_value: optional(V).value() -> V
optional_hasValue: optional(V).hasValue() -> bool
optional_or_optional: optional(V).or(optional(V)) -> optional(V)
optional_orValue_value: optional(V).orValue(V) -> V
list_last: list(V).last() -> optional(V)
list_first: list(V).first() -> optional(V)
optional_unwrap: optional.unwrap(list(optional(V))) -> list(V)
optional_unwrapOpt: list(optional(V)).unwrapOpt() -> list(V)
string_char_at_int: string.charAt(int) -> string
string_index_of_string: string.indexOf(string) -> int
string_index_of_string_int: string.indexOf(string, int) -> int
string_last_index_of_string: string.lastIndexOf(string) -> int
string_last_index_of_string_int: string.lastIndexOf(string, int) -> int
string_lower_ascii: string.lowerAscii() -> string
string_replace_string_string: string.replace(string, string) -> string
string_replace_string_string_int: string.replace(string, string, int) -> string
string_split_string: string.split(string) -> list(string)
string_split_string_int: string.split(string, int) -> list(string)
string_substring_int: string.substring(int) -> string
string_substring_int_int: string.substring(int, int) -> string
string_trim: string.trim() -> string
string_upper_ascii: string.upperAscii() -> string
string_format: string.format(list(dyn)) -> string
strings_quote: strings.quote(string) -> string
list_join: list(string).join() -> string
list_join_string: list(string).join(string) -> string
list_sets_contains_list: sets.contains(list(T), list(T)) -> bool
list_sets_equivalent_list: sets.equivalent(list(T), list(T)) -> bool
list_sets_intersects_list: sets.intersects(list(T), list(T)) -> bool
list_slice: list(T).slice(int, int) -> list(T)
list_flatten: list(list(T)).flatten() -> list(T)
list_flatten_int: list(dyn).flatten(int) -> list(dyn)
lists_range: lists.range(int) -> list(int)
list_reverse: list(T).reverse() -> list(T)
list_distinct: list(T).distinct() -> list(T)
map_insert_map: cel.@mapInsert(map(K, V), map(K, V)) -> map(K, V)
map_insert_key_value: cel.@mapInsert(map(K, V), K, V) -> map(K, V)
"""

_KUBERNETES: Final = """
list_a_index_of_int: list(A).indexOf(A) -> int
list_a_last_index_of_int: list(A).lastIndexOf(A) -> int
string_find_string: string.find(string) -> string
string_find_all_string: string.findAll(string) -> list(string)
string_find_all_string_int: string.findAll(string, int) -> list(string)
string_to_url: url(string) -> URL
url_get_scheme: URL.getScheme() -> string
url_get_host: URL.getHost() -> string
url_get_hostname: URL.getHostname() -> string
url_get_port: URL.getPort() -> string
url_get_escaped_path: URL.getEscapedPath() -> string
url_get_query: URL.getQuery() -> map(string, list(string))
is_url_string: isURL(string) -> bool
string_to_quantity: quantity(string) -> Quantity
is_quantity_string: isQuantity(string) -> bool
quantity_sign: sign(Quantity) -> int
quantity_is_greater_than: Quantity.isGreaterThan(Quantity) -> bool
semver_is_greater_than: Semver.isGreaterThan(Semver) -> bool
quantity_is_less_than: Quantity.isLessThan(Quantity) -> bool
semver_is_less_than: Semver.isLessThan(Semver) -> bool
quantity_compare_to: Quantity.compareTo(Quantity) -> int
semver_compare_to: Semver.compareTo(Semver) -> int
quantity_get_float: Quantity.asApproximateFloat() -> double
quantity_get_int: Quantity.asInteger() -> int
quantity_is_integer: Quantity.isInteger() -> bool
quantity_add: Quantity.add(Quantity) -> Quantity
quantity_add_int: Quantity.add(int) -> Quantity
quantity_sub: Quantity.sub(Quantity) -> Quantity
quantity_sub_int: Quantity.sub(int) -> Quantity
string_to_ip: ip(string) -> IP
cidr_ip: CIDR.ip() -> IP
ip_family: IP.family() -> int
ip_is_canonical: ip.isCanonical(string) -> bool
ip_is_unspecified: IP.isUnspecified() -> bool
ip_is_loopback: IP.isLoopback() -> bool
ip_is_link_local_multicast: IP.isLinkLocalMulticast() -> bool
ip_is_link_local_unicast: IP.isLinkLocalUnicast() -> bool
ip_is_global_unicast: IP.isGlobalUnicast() -> bool
is_ip: isIP(string) -> bool
string_to_cidr: cidr(string) -> CIDR
cidr_contains_ip_string: CIDR.containsIP(string) -> bool
cidr_contains_ip_ip: CIDR.containsIP(IP) -> bool
cidr_contains_cidr_string: CIDR.containsCIDR(string) -> bool
cidr_contains_cidr: CIDR.containsCIDR(CIDR) -> bool
cidr_prefix_length: CIDR.prefixLength() -> int
cidr_masked: CIDR.masked() -> CIDR
is_cidr: isCIDR(string) -> bool
string_to_semver: semver(string) -> Semver
string_bool_to_semver: semver(string, bool) -> Semver
is_semver_string: isSemver(string) -> bool
is_semver_string_bool: isSemver(string, bool) -> bool
semver_major: Semver.major() -> int
semver_minor: Semver.minor() -> int
semver_patch: Semver.patch() -> int
format-validate: Format.validate(string) -> optional(list(string))
format-named: format.named(string) -> optional(Format)
authorizer_path: Authorizer.path(string) -> PathCheck
authorizer_group: Authorizer.group(string) -> GroupCheck
authorizer_serviceaccount: Authorizer.serviceAccount(string, string) -> Authorizer
groupcheck_resource: GroupCheck.resource(string) -> ResourceCheck
resourcecheck_subresource: ResourceCheck.subresource(string) -> ResourceCheck
resourcecheck_namespace: ResourceCheck.namespace(string) -> ResourceCheck
resourcecheck_name: ResourceCheck.name(string) -> ResourceCheck
pathcheck_check: PathCheck.check(string) -> Decision
resourcecheck_check: ResourceCheck.check(string) -> Decision
decision_errored: Decision.errored() -> bool
decision_error: Decision.error() -> string
decision_allowed: Decision.allowed() -> bool
decision_reason: Decision.reason() -> string
authorizer_fieldselector: ResourceCheck.fieldSelector(string) -> ResourceCheck
authorizer_labelselector: ResourceCheck.labelSelector(string) -> ResourceCheck
"""

NAMED_FORMATS: Final = (
    "dns1123Label", "dns1123Subdomain", "dns1035Label", "qualifiedName", "dns1123LabelPrefix", "dns1123SubdomainPrefix",
    "dns1035LabelPrefix", "labelValue", "uri", "uuid", "byte", "date", "datetime",
)  # fmt: skip

JSON_PATCH: Final = "string_jsonpatch_escapeKey_string: jsonpatch.escapeKey(string) -> string"
"""Of mutating admission policies alone."""

_HEAD: Final = re.compile(r"^(\S+): (.*) -> (.*)$")
_NAMES: Final = re.compile(r"[A-Z](?![a-zA-Z])")


@lru_cache(maxsize=1)
def functions() -> dict[str, list[Overload]]:
    """name → its overloads, in the order in which they are tried."""
    lines = [_OPERATORS]
    for operator, name in (("_<_", "less"), ("_<=_", "less_equals"), ("_>_", "greater"), ("_>=_", "greater_equals")):
        lines += [f"{name}_{which}: {operator}({a}, {b}) -> bool" for which, a, b in _ORDERED]
    lines.append(_STANDARD)
    for name, identity in _TIMES:
        zoned = "timestamp_to_seconds_tz" if name == "getSeconds" else f"{identity}_with_tz"
        lines += [f"{identity}: timestamp.{name}() -> int", f"{zoned}: timestamp.{name}(string) -> int"]
    lines += [_EXTENSIONS, _KUBERNETES]
    lines += [f"list_{t}_sort: list({t}).sort() -> list({t})" for t in _COMPARABLE]
    lines += [
        f"list_{t}_sortByAssociatedKeys: list(T).@sortByAssociatedKeys(list({t})) -> list(T)" for t in _COMPARABLE
    ]
    lines += [f"list_{t}_is_sorted_bool: list({t}).isSorted() -> bool" for t in _COMPARABLE]
    lines += [f"list_{t}_sum_{t}: list({t}).sum() -> {t}" for t in _SUMMABLE]
    lines += [f"list_{t}_{f}_{t}: list({t}).{f}() -> {t}" for f in ("max", "min") for t in _COMPARABLE]
    lines += [f"format.{name}: format.{name}() -> Format" for name in NAMED_FORMATS]
    return read("\n".join(lines))


def read(text: str) -> dict[str, list[Overload]]:
    """The overloads of a table, by the name of their function."""
    made: dict[str, list[Overload]] = {}
    for line in text.split("\n"):
        if line:
            name, overload = _overload(line)
            made.setdefault(name, []).append(overload)
    return made


def _overload(line: str) -> tuple[str, Overload]:
    match = _HEAD.match(line)
    assert match is not None, line
    identity, call, result = match.groups()
    open_at = _opening(call)
    arguments = call[open_at + 1 : -1]
    head = call[:open_at]
    receiver, dot, name = head.rpartition(".")
    kinds = [_type(a) for a in _split(arguments)]
    member = bool(dot) and (receiver in NAMED or receiver.endswith(")"))
    if member and (receiver, name) != ("ip", "isCanonical"):
        kinds.insert(0, _type(receiver))
    else:
        name = head
    return name, Overload(identity, tuple(kinds), _type(result), member, tuple(sorted(set(_NAMES.findall(call)))))


def _opening(call: str) -> int:
    """Where the bracket of the arguments opens."""
    depth = 0
    for at in range(len(call) - 1, -1, -1):
        depth += (call[at] == ")") - (call[at] == "(")
        if depth == 0:
            return at
    raise ValueError(call)


def _split(text: str) -> list[str]:
    parts: list[str] = []
    depth = start = 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()] if text.strip() else []


def _type(text: str) -> Type:
    head, bracket, rest = text.partition("(")
    if not bracket:
        return NAMED[text] if text in NAMED else param(text)
    inner = [_type(p) for p in _split(rest[:-1])]
    if head == "list":
        return list_of(inner[0])
    if head == "map":
        return map_of(inner[0], inner[1])
    return optional_of(inner[0]) if head == "optional" else type_of(inner[0])
