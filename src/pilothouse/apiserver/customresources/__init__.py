"""CustomResourceDefinitions, and the resources that they define: `CustomResources` keeps the registry as they say."""

from pilothouse.apiserver.customresources.controller import CustomResources

__all__ = ["CustomResources"]
