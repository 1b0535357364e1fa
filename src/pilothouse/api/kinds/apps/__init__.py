"""apps: Deployment, ReplicaSet, DaemonSet, StatefulSet, ControllerRevision."""
