"""Flow schemas and priority levels."""
