"""pilothouse: a complete Kubernetes 1.37 control plane in Python."""

__version__ = "0.1.0"
