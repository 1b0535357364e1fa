"""Jobs: pods that run to their end, so many times, so many at once.

Source: upstream's pkg/controller/job (KEP-2307 tracks finished pods by finalizers, KEP-2214 indexed Jobs, KEP-3329 pod
failure policies, KEP-3850 backoff limits per index, KEP-3998 success policies). `indexes`, `policies`, `backoff` and `census`
are its pure rules, `sync` one look at one Job, `controller` when it happens.
"""

from pilothouse.controllers.job.controller import JobController

__all__ = ["JobController"]
