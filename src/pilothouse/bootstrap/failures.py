"""`ClusterError`: what keeps a cluster from starting or stopping, in one sentence that says what to do."""

from __future__ import annotations


class ClusterError(Exception):
    """str() is for the user: what happened, where, and what to do."""
