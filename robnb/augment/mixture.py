"""Mixing an image with chains of operations on it, as AugMix does and PRIME after it.

mixed = (1 - m) image + m sum_i w_i chain_i(image), with w ~ Dirichlet(1, ..., 1) and m ~ Beta(1, 1) for each image.
"""

from __future__ import annotations

import torch


def drawn_weights(count: int, width: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """w, (count, width), and m, (count,), both float32 on the generator's device."""
    device = generator.device
    # Exponential variables over their sum are Dirichlet(1, ..., 1); Beta(1, 1) is uniform.
    weights = torch.empty((count, width), device=device).exponential_(generator=generator)
    share = torch.rand(count, generator=generator, device=device)
    return weights / weights.sum(dim=1, keepdim=True), share


def mixed(images: torch.Tensor, chains: torch.Tensor, weights: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """The mixtures of images with their chains.

    Args:
        images: (B, 3, H, W) float32.
        chains: (B, width, 3, H, W), float32 or uint8, on the same scale.
        weights, share: as `drawn_weights` gives them, on any device.

    Returns:
        (B, 3, H, W) float32, up to rounding between the least and the greatest of what is mixed.
    """
    weights, share = (drawn.to(images.device)[..., None, None, None] for drawn in (weights, share))
    mixture = chains[:, 0] * weights[:, 0]
    for i in range(1, chains.shape[1]):
        mixture.addcmul_(chains[:, i], weights[:, i])
    return torch.lerp(images, mixture, share)
