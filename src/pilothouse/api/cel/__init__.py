"""The Common Expression Language as Kubernetes speaks it: compile, check, tell the cost, evaluate.

Sources: the CEL specification, and the documentation's page "Common Expression Language in Kubernetes". `environment.Environment`
is the way in. The grammar is that of cel-cpp (`parsing`); types, costs and evaluation are here, because both count steps as
upstream does.
"""
