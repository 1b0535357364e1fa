"""etcd's v3 protocol: its messages and services, for the gRPC front and for the client of an external etcd."""
