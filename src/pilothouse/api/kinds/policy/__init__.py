"""Budgets of disruption."""
