"""Certificate signing requests and trust bundles."""
