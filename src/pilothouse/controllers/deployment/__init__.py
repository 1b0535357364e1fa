"""Deployments: a template rolled out through ReplicaSets, one a revision.

Source: upstream's pkg/controller/deployment. `revisions` and `sizes` are its pure rules, `rollout` what it does in one sync,
`progress` what it reports, `controller` when it does it.
"""

from pilothouse.controllers.deployment.controller import DeploymentController

__all__ = ["DeploymentController"]
