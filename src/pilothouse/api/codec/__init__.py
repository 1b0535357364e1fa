"""Objects from what is sent, and back: `decode` (typed), `text` (JSON and YAML)."""
