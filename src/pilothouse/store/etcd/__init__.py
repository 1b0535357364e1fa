"""etcd's v3 API over any `Store`: what etcd's clients, its tools and upstream's kube-apiserver speak to.
docs/store.md describes it.

`front.Front` puts it together; one file a service. Source of the behaviour: etcd 3.6 and 3.7,
`server/etcdserver/api/v3rpc`.
"""
