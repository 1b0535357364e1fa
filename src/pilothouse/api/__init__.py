"""The Kubernetes API as data and pure functions: no input or output, no clock, no state but caches."""
