"""Structural schemas of custom resources: pruning, defaulting and validation of values, and JSONPath of printer columns."""
