"""OpenAPI documents from the tables: `v3` and `v2`, `custom` for custom resources, and `gnostic`, their form as protobuf."""
