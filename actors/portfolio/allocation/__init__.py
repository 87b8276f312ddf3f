"""From signals to target weights: three rules to weigh names, one way to choose and bound them."""

from actors.portfolio.allocation.choice import METHODS, Candidate, Proposal, equal_weight, propose
from actors.portfolio.allocation.confidence import confidence_weights
from actors.portfolio.allocation.equal import equal_weights
from actors.portfolio.allocation.inverse_volatility import inverse_volatility_weights, volatilities

__all__ = [
    "METHODS",
    "Candidate",
    "Proposal",
    "confidence_weights",
    "equal_weight",
    "equal_weights",
    "inverse_volatility_weights",
    "propose",
    "volatilities",
]
