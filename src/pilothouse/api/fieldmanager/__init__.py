"""Field management (server-side apply): who manages which field, conflicts, and the merge of applied configurations.

Source: KEP-555 "Server-side Apply", upstream's apimachinery/pkg/util/managedfields and sigs.k8s.io/structured-merge-diff.
"""
