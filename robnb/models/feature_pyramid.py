"""What is new between a timm network and mm's heads: it is trained with the head, never loaded and never frozen."""

from __future__ import annotations

import torch
from torch import nn


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Of the same shape and dtype."""
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MapNorms(nn.Module):
    """One LayerNorm for each map.

    The maps of a network without BatchNorm are sums of residuals of any size; Swin's and ConvNeXt's own detectors
    normalise them so before their heads.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ChannelNorm(width) for width in channels)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps (N, C, H, W) of the given channels, of the same shapes."""
        return [norm(each) for norm, each in zip(self.norms, maps, strict=True)]


class SimplePyramid(nn.Module):
    """ViTDet's simple feature pyramid (Li et al. 2022, section 3): four scales from the last map of a plain ViT.

    That map, at stride 16, is used as it is, enlarged by transposed convolutions to strides 4 and 8, and reduced by
    max pooling to 32. A LayerNorm precedes it all, as the last block's output is not normalised.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.norm = ChannelNorm(channels)
        self.stride4 = nn.Sequential(
            nn.ConvTranspose2d(channels, half, 2, stride=2),
            ChannelNorm(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, stride=2),
        )
        self.stride8 = nn.ConvTranspose2d(channels, half, 2, stride=2)
        self.stride32 = nn.MaxPool2d(2)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """One map (N, C, h, w), h and w even -> (N, C/4, 4h, 4w), (N, C/2, 2h, 2w), (N, C, h, w), (N, C, h/2, w/2)."""
        (last,) = maps
        last = self.norm(last)
        return [self.stride4(last), self.stride8(last), last, self.stride32(last)]
