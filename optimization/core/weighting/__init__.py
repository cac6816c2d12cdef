"""Where the weights of strategies should go, and the book that moves them there."""

from optimization.core.weighting.book import (
    WeightBook,
    WeightChange,
    book_from_state,
    enrolled,
    opening_book,
)
from optimization.core.weighting.composite import CompositePolicy, CompositeSettings
from optimization.core.weighting.exponentiated_gradient import ExponentiatedGradientPolicy
from optimization.core.weighting.policy import WeightPolicy
from optimization.core.weighting.uniform import UniformPolicy
from optimization.core.weighting.update import update_weights

__all__ = [
    "CompositePolicy",
    "CompositeSettings",
    "ExponentiatedGradientPolicy",
    "UniformPolicy",
    "WeightBook",
    "WeightChange",
    "WeightPolicy",
    "book_from_state",
    "enrolled",
    "opening_book",
    "update_weights",
]
