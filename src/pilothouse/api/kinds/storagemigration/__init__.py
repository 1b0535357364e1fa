"""Migrations of stored versions."""
