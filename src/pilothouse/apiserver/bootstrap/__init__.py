"""What a new cluster holds from the start: namespaces, the default RBAC policy, priority classes, flow schemas, API services,
and the objects that follow from the configuration (the kubernetes service, the default service CIDR, the certificate
authorities for extension API servers).

Source: the objects that kube-apiserver 1.37 writes at its start (`objects.json`), and upstream's post-start hooks.
"""

from pilothouse.apiserver.bootstrap.ensure import ensure

__all__ = ["ensure"]
