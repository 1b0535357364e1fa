"""apiregistration.k8s.io: API servers that serve groups of their own."""
