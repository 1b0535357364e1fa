"""gRPC over HTTP/2 on asyncio, and HTTP/1.1 beside it on the same port. A room of its own because grpcio's asyncio server costs
five times as much a call as real etcd does in all (docs/store.md).

    frames → hpack → connection (streams, flow control) → call (gRPC) → listener (ports, TLS, HTTP/1.1)

It knows nothing of etcd. Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK), gRPC's "gRPC over HTTP2".
"""
