"""Noise of an exact norm, after clipping."""

from __future__ import annotations

import torch


def noised(images: torch.Tensor, noise: torch.Tensor, norm: float) -> torch.Tensor:
    """clip(x + eta noise, 0, 1) with the eta of each image for which ||clip(x + eta noise, 0, 1) - x||_2 = norm.

    Differentiable in the noise, eta included: it is sqrt((norm^2 - S) / sum_free noise^2), where S is what the clipped
    values contribute and the sum goes over the others. ANT's release differentiates eta too.

    Where the norm is out of reach, every value with noise goes all the way to 0 or 1: the largest distance that there
    is. No gradient flows there.

    Args:
        images: (N, 3, H, W) float32 in [0, 1].
        noise: of the same shape, any real numbers.
        norm: above 0.

    Returns:
        (N, 3, H, W) float32 in [0, 1], at the distance to about 1e-6 relative.
    """
    way = noise.detach().sign()
    room = way * (way.clamp(min=0) - images)  # how far each value can go; 0 without noise
    squares, room_squared = noise.square().flatten(1), room.square().flatten(1)
    free = _free(squares.detach(), room_squared, norm**2)
    slope, left = (squares * free).sum(dim=1), norm**2 - (room_squared * (1 - free)).sum(dim=1)
    reached = slope > 0
    eta = torch.where(reached, (left.clamp(min=1e-12) / slope.where(reached, 1.0)).sqrt(), 0.0)
    free = free.view_as(noise)
    return (images + free * (eta.view(-1, 1, 1, 1) * noise) + (1 - free) * (way * room)).clamp(0, 1)


@torch.no_grad()
def _free(squares: torch.Tensor, room_squared: torch.Tensor, target: float) -> torch.Tensor:
    """Which values are not clipped where sum_i min(t squares_i, room_squared_i) is the target: (N, P) float, 1 or 0.

    The sum is a concave and piecewise linear function of t = eta^2. So Newton's method, begun at t = 0, approaches the
    solution from below and ends there exactly, after as many steps as there are pieces at most; mostly about five.
    Where the target is out of reach t becomes infinite, and nothing is free.
    """
    clipped_from = room_squared / squares  # NaN without noise: never free, and without room
    total, t = room_squared.sum(dim=1), torch.zeros_like(squares[:, 0])
    while True:
        # A product with a mask of floats is much faster than a choice by one of booleans.
        free = (clipped_from > t[:, None]).to(squares.dtype)
        left = target - total + (room_squared * free).sum(dim=1)
        further = left / (squares * free).sum(dim=1)
        if not (further > t).any():
            return free
        t = torch.fmax(t, further)
