"""Simulated worker nodes: they register, report, run pods that need no containers, and can be switched off.

`simulator.NodeSimulator` is all of them in one process. What a user can ask of them is in docs/nodes.md.
"""
