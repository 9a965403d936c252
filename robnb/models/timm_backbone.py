"""Any network of timm as a backbone of mmdet and mmseg."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from robnb.errors import UserError
from robnb.models import mmcv_ops, timm_nets
from robnb.models.feature_pyramid import MapNorms, SimplePyramid

# mmdet and mmseg import the ops.
mmcv_ops.install()
from mmdet.registry import MODELS as MMDET_MODELS  # noqa: E402  isort: skip
from mmseg.registry import MODELS as MMSEG_MODELS  # noqa: E402  isort: skip


@MMDET_MODELS.register_module()
@MMSEG_MODELS.register_module()
class TimmBackbone(BaseModule):
    """A timm network that gives four maps, at strides 4, 8, 16 and 32, of images of any size.

    ``net`` is the ordinary network of ``timm.create_model(architecture, num_classes=0)``, so that timm's files fill
    every tensor of it. ``pyramid`` is new and learns with the head, also where the network is frozen: a LayerNorm for
    each map of a network that is not normalised by BatchNorm, or the simple feature pyramid of a plain one (ViT).

    Args:
        architecture: timm's name, without a tag.
        frozen_stages: 4 freezes all of ``net``, which then stays in eval mode (BN statistics and drop-path too);
            1, 2 or 3 freeze what the first maps are made of; -1 freezes nothing.
        norm_eval: BN statistics stay as loaded.
        drop_path_rate: of stochastic depth; timm's own default where it is None.

    Raises:
        UserError: the network cannot give these maps, or not a part of it can be frozen.
    """

    def __init__(
        self,
        architecture: str,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        drop_path_rate: float | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.maps = timm_nets.maps_of(architecture)
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        self.net = timm_nets.build(architecture, maps=True, drop_path_rate=drop_path_rate)
        if self.maps.patch is not None:
            self.pyramid = SimplePyramid(self.maps.channels[0])
        else:
            conv_net = timm_nets.is_conv_net(architecture)
            self.pyramid = nn.Identity() if conv_net else MapNorms(self.maps.channels)
        self._freeze(timm_nets.parameters_behind(architecture))

    def _freeze(self, behind: tuple[frozenset[str], ...]) -> None:
        """Without gradient: what is frozen, and what no map depends on (DDP waits for the gradients of the rest)."""
        if self.frozen_stages not in (-1, *range(1, len(behind)), len(timm_nets.STRIDES)):
            raise UserError(
                f"frozen_stages is {self.frozen_stages}, but a {type(self.net).__name__} of timm can be frozen whole "
                f"(4), not at all (-1){', or to its first maps (1 to 3)' if len(behind) > 1 else ''}: choose one."
            )
        learns = frozenset().union(*behind)
        if self.frozen_stages > 0:
            learns = (
                frozenset() if self.frozen_stages == len(timm_nets.STRIDES) else learns - behind[self.frozen_stages - 1]
            )
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(name in learns)

    def init_weights(self) -> None:
        """timm has initialised the network when it was built; mmengine would draw some of it again."""
        self._is_init = True

    def train(self, mode: bool = True) -> TimmBackbone:
        """As in torch, but what is frozen stays in eval mode."""
        super().train(mode)
        if self.frozen_stages == len(timm_nets.STRIDES):
            self.net.eval()
        for module in self.net.modules():
            parameters = list(module.parameters())
            frozen = parameters and not any(parameter.requires_grad for parameter in parameters)
            if frozen or (self.norm_eval and isinstance(module, _BatchNorm)):
                module.eval()
        return self

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, 3, H, W) normalised float -> four maps (N, C, ceil(H / stride), ceil(W / stride))."""
        height, width = images.shape[-2:]
        maps = self.pyramid(timm_nets.features(self.net, images, self.maps))
        return tuple(
            each[:, :, : -(-height // stride), : -(-width // stride)]
            for each, stride in zip(maps, timm_nets.STRIDES, strict=True)
        )
