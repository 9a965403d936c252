"""DeepAugment: images by image-to-image networks with distorted weights and features.

recipe          what a training sees
networks        the helper networks by name; reading them, distorting images with them
edsr, edsr_weights, edsr_features    a super-resolution network and the release's distortions of it
cae, cae_weights, cae_latent         a compressive autoencoder and the release's distortions of it
"""

from __future__ import annotations

from robnb.augment.deepaugment.networks import NETWORKS, Distorter, load_network, network_for
from robnb.augment.deepaugment.recipe import DeepAugment, DeepAugmentAugMix

__all__ = ["NETWORKS", "DeepAugment", "DeepAugmentAugMix", "Distorter", "load_network", "network_for"]
