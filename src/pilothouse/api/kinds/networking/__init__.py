"""Ingresses, network policies and the addresses of services."""
