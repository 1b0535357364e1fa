"""OpenAPI documents from the tables: `v3.document`, `descriptions`."""
