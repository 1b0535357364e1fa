"""How the parts are put together into a cluster: keys and certificates, kubeconfigs, the cluster's directory, the assembly."""
