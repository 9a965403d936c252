"""The models of the study: backbones, classifier, detector, segmentor, and what mmdet and mmseg need to run them."""
