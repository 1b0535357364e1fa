"""The API server: the only thing that touches the store."""
