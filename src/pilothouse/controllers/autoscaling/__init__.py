"""The horizontal pod autoscaler: `controller` is its frame, `metrics` reads the resource metrics API and proposes sizes,
`limits` says how far and how fast a size may change."""

from pilothouse.controllers.autoscaling.controller import HorizontalPodAutoscalerController

__all__ = ["HorizontalPodAutoscalerController"]
