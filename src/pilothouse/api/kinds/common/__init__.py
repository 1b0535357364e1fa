"""What several kinds share: selectors, conditions, ports, webhooks, declarative rules."""
