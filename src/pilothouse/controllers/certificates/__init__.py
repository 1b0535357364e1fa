"""Certificate signing requests: `approving` kubelets' ones, `signing` the approved, `cleaning` the old; `requests` reads them."""

from pilothouse.controllers.certificates.approving import CSRApprovingController
from pilothouse.controllers.certificates.cleaning import CSRCleaner
from pilothouse.controllers.certificates.signing import CSRSigningController

__all__ = ["CSRApprovingController", "CSRCleaner", "CSRSigningController"]
