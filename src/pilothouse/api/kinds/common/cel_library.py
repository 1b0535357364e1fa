"""Kubernetes' functions of CEL by signature: `receiver.name(arguments) result` (documentation: "Kubernetes CEL libraries")."""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final = """
quantity(string) kubernetes.Quantity
isQuantity(string) bool
kubernetes.Quantity.sign() int
kubernetes.Quantity.isGreaterThan(kubernetes.Quantity) bool
kubernetes.Quantity.isLessThan(kubernetes.Quantity) bool
kubernetes.Quantity.compareTo(kubernetes.Quantity) int
kubernetes.Quantity.asApproximateFloat() double
kubernetes.Quantity.asInteger() int
kubernetes.Quantity.isInteger() bool
kubernetes.Quantity.add(kubernetes.Quantity) kubernetes.Quantity
kubernetes.Quantity.add(int) kubernetes.Quantity
kubernetes.Quantity.sub(kubernetes.Quantity) kubernetes.Quantity
kubernetes.Quantity.sub(int) kubernetes.Quantity
url(string) kubernetes.URL
isURL(string) bool
kubernetes.URL.getScheme() string
kubernetes.URL.getHost() string
kubernetes.URL.getHostname() string
kubernetes.URL.getPort() string
kubernetes.URL.getEscapedPath() string
kubernetes.URL.getQuery() map
ip(string) net.IP
isIP(string) bool
ip.isCanonical(string) bool
net.IP.family() int
net.IP.isUnspecified() bool
net.IP.isLoopback() bool
net.IP.isLinkLocalMulticast() bool
net.IP.isLinkLocalUnicast() bool
net.IP.isGlobalUnicast() bool
cidr(string) net.CIDR
isCIDR(string) bool
net.CIDR.containsIP(string) bool
net.CIDR.containsIP(net.IP) bool
net.CIDR.containsCIDR(string) bool
net.CIDR.containsCIDR(net.CIDR) bool
net.CIDR.ip() net.IP
net.CIDR.masked() net.CIDR
net.CIDR.prefixLength() int
semver(string) kubernetes.Semver
semver(string, bool) kubernetes.Semver
isSemver(string) bool
isSemver(string, bool) bool
kubernetes.Semver.isGreaterThan(kubernetes.Semver) bool
kubernetes.Semver.isLessThan(kubernetes.Semver) bool
kubernetes.Semver.compareTo(kubernetes.Semver) int
kubernetes.Semver.major() int
kubernetes.Semver.minor() int
kubernetes.Semver.patch() int
string.find(string) string
string.findAll(string) []string
string.findAll(string, int) []string
list.isSorted() bool
list.sum() dyn
list.min() dyn
list.max() dyn
list.includes(dyn) bool
authorizer.path(string) authorizer.path
authorizer.serviceAccount(string, string) authorizer
authorizer.group(string) authorizer.group
authorizer.group.resource(string) authorizer.resource
authorizer.resource.subresource(string) authorizer.resource
authorizer.resource.namespace(string) authorizer.resource
authorizer.resource.name(string) authorizer.resource
authorizer.resource.fieldSelector(string) authorizer.resource
authorizer.resource.labelSelector(string) authorizer.resource
authorizer.resource.check(string) authorizer.decision
authorizer.path.check(string) authorizer.decision
authorizer.decision.allowed() bool
authorizer.decision.reason() string
authorizer.decision.errored() bool
authorizer.decision.error() string
"""
