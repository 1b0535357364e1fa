"""One file a verb: what a request for a resource does, once it is known who asks and that they may."""
