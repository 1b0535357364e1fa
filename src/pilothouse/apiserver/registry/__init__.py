"""What the server serves, and how it is kept: resources, their keys, their storage and their watch caches."""
