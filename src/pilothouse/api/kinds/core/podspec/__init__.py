"""The pod spec, which pods and every kind with a pod template share: defaults, preparation, rules and warnings, by concept."""
