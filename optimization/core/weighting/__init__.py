"""Where the weights of strategies should go, and the book that moves them there."""

from optimization.core.weighting.composite import CompositePolicy, CompositeSettings
from optimization.core.weighting.exponentiated_gradient import ExponentiatedGradientPolicy
from optimization.core.weighting.policy import WeightPolicy
from optimization.core.weighting.uniform import UniformPolicy

__all__ = [
    "CompositePolicy",
    "CompositeSettings",
    "ExponentiatedGradientPolicy",
    "UniformPolicy",
    "WeightPolicy",
]
