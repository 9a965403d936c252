# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 Fixed-feature transfer
#
# **Question.** A backbone that is robust on ImageNet is frozen, and only a new head learns the downstream task.
# Does the robustness come along? If it lives in the features, the backbones that lose least on corrupted ImageNet
# images should also lose least on corrupted detection and segmentation images.
#
# **The paper** (Yamada & Otani, CVPR 2022, section 3, tables 1 and 2) says yes: on COCO and ADE20K, the backbones
# trained with ANT and with DeepAugment+AugMix lose less than the regular ResNet-50 in every category of corruptions,
# and Swin-T, whose robustness comes from its architecture, does too.
#
# **Reads** the data named by `data` below. **Writes** `outputs/<profile>/01_fixed_feature/` (tables, figures) and
# the store that all notebooks of a profile share: what is there already is not computed again, so a run that was
# interrupted goes on where it was.
#
# **How to read the numbers.** P is the score on clean images, mPC the mean score over corruptions, and
# *drop* = 1 - mPC/P the share that the corruptions take away. Low drop means robust, whatever P is.

# %%
"""Fixed-feature transfer to detection and segmentation, clean and corrupted."""

import pandas as pd
from IPython.display import Markdown, display

from robnb import metrics, plots, tables
from robnb.study import Study

# %% tags=["parameters"]
profile = "mini"  # which params these are; stamped on every result: smoke | mini | paper
outputs = ""  # folder for every product; empty means the outputs folder of the repository
data = "miniworld"  # miniworld (made here) | paper (COCO 2017, ADE20K, ImageNet and the published weights)
data_root = ""  # folder of the paper's data sets and weights; not used by miniworld
miniworld = {
    "upstream_train": 6000,
    "upstream_val": 150,
    "detection_train": 600,
    "detection_val": 60,
    "segmentation_train": 600,
    "segmentation_val": 60,
    "classification_train": 1500,
    "classification_val": 150,
}  # images to make per split
backbones = ["resnet_mini.regular", "resnet_mini.augmix", "swin_mini.regular"]  # architecture.weights
corruptions = ["benchmark"]  # single corruptions, or sets: benchmark (all 15) | noise | blur | weather | digital
severities = [1]  # 1 (mild) to 5 (severe); the paper's protocol is 1
engine = "fast"  # of the corruptions: fast (robnb's own) | reference (the imagecorruptions package)
test_images = None  # images scored per condition, from the first; None scores the whole test split
seed = 0  # of miniworld, initialisation, batch order and corruptions
workers = 2  # loader processes; no result depends on it
scales = {
    "upstream": [64, 64],
    "detection": [160, 128],
    "segmentation": [160, 128],
}  # upstream: resize, crop; others: width, height to fit
upstream = {
    "resnet": {"iterations": 350, "batch_size": 64, "lr": 0.1},
    "resnet_mini.augmix": {"iterations": 280, "batch_size": 32, "lr": 0.1},
    "swin": {"iterations": 650, "batch_size": 32, "lr": 0.001},
}  # pretraining, per family of backbones or for one backbone
detection = {
    "resnet": {"iterations": 170, "batch_size": 8, "lr": 0.04},
    "swin": {"iterations": 170, "batch_size": 8, "lr": 0.001},
}  # head training, per family
segmentation = {
    "resnet": {"iterations": 140, "batch_size": 8, "lr": 0.15},
    "swin": {"iterations": 140, "batch_size": 8, "lr": 0.001},
}  # head training, per family

# %% [markdown]
# Every parameter is checked before anything is computed: a misspelt name, a wrong type or an unknown backbone stops
# the notebook here with one sentence. In the paper profile, so does a missing data set or checkpoint.

# %%
study = Study.from_notebook("01_fixed_feature", globals())
tasks = study.tasks

# %% [markdown]
# ## The data
#
# In miniworld, real handwritten digits lie on real photographs. It is written to disk in COCO's and ADE20K's own
# formats, so the same readers serve it and the real data sets. No digit and no piece of a photograph is shared
# between upstream training, downstream training and test. Below: test images for detection with their boxes and
# masks, then for segmentation with their label maps.

# %%
detection_test, segmentation_test = tasks["detection"].open("test"), tasks["segmentation"].open("test")
plots.save(plots.samples(detection_test), study.folder, "detection_samples")

# %%
plots.save(plots.samples(segmentation_test), study.folder, "segmentation_samples")

# %% [markdown]
# ## The corruptions
#
# The corruptions of ImageNet-C in four categories (noise, blur, weather, digital) act on the test image at its
# original size, before any resizing. Their random draws depend on the image's name, the corruption, the severity and
# the seed, and on nothing else: every backbone sees exactly these pixels.

# %%
grid = plots.corruption_grid(detection_test[0], study.conditions, study.seed, study.engine)
plots.save(grid, study.folder, "corruptions")

# %% [markdown]
# ## Upstream: where the backbones come from
#
# Each backbone first learns to classify. *Regular* is plain training; *AugMix* mixes chains of image operations and
# asks for consistent answers; the Swin is trained plainly, and differs in its architecture. None of them sees a test
# corruption in training. The table is the paper's premise, checked: the upstream score, clean and corrupted.

# %%
backbones_trained = study.pretrain()
upstream_scores = study.evaluate(list(backbones_trained.values()))
conditions = [(condition.corruption, condition.severity) for condition in study.conditions]
tables.overview(metrics.summarise(upstream_scores, conditions)).round(1)

# %% [markdown]
# ## Downstream: only the head learns
#
# Mask R-CNN and UperNet from mmdet's and mmsegmentation's own configs. The backbone is frozen in full: no weight, no
# BatchNorm statistic and no relative-position table changes, and drop-path is off. (The paper's released configs
# freeze less than that for some models; that difference is a study of its own.)

# %%
detectors = study.transfer(backbones_trained, "fixed_feature", "detection")
segmentors = study.transfer(backbones_trained, "fixed_feature", "segmentation")

# %% [markdown]
# ## Scores on clean and corrupted test images
#
# Box and mask AP are COCO's (mean over IoU 0.50 to 0.95), mIoU is mmsegmentation's. A missing cell in the grid is an
# error, never a zero.

# %%
scores = pd.concat([upstream_scores, study.evaluate(detectors), study.evaluate(segmentors)], ignore_index=True)
summary = metrics.summarise(scores, conditions)
downstream = summary[summary["task"] != "upstream"]

# %% [markdown]
# ### Table 1: detection, drop per category in percent
#
# Beside the paper's COCO numbers. Outside the paper profile these are two different worlds: compare the order of the
# backbones and the direction of the differences, not the sizes.

# %%
tables.beside_paper(downstream, "box_AP", study.profile).round(1)

# %% [markdown]
# ### Table 2: semantic segmentation, drop per category in percent

# %%
tables.beside_paper(downstream, "mIoU", study.profile).round(1)

# %% [markdown]
# ### The same as a figure
#
# Lower bars are more robust.

# %%
plots.save(plots.drop_by_category(downstream, ["box_AP", "mask_AP", "mIoU"]), study.folder, "drop_by_category")

# %% [markdown]
# Drop is relative, so a weak model can have a small one. Where each model starts and where it lands:

# %%
plots.save(plots.clean_and_corrupted(downstream, ["box_AP", "mask_AP", "mIoU"]), study.folder, "clean_and_corrupted")

# %% [markdown]
# And corruption by corruption, for the two headline metrics:

# %%
display(plots.save(plots.drop_by_corruption(scores, "box_AP"), study.folder, "drop_by_corruption_box_AP"))
plots.save(plots.drop_by_corruption(scores, "mIoU"), study.folder, "drop_by_corruption_mIoU")

# %% [markdown]
# ## What we find
#
# Each model against the first backbone, computed from the tables above.

# %%
baseline = tables.label(*study.backbones[0].split("."))
comparison = tables.against_baseline(summary, baseline)
Markdown(tables.sentences(comparison, baseline))

# %% [markdown]
# ## Limits
#
# One training seed and one draw of each corruption, no intervals: small differences may be chance. In miniworld the
# upstream and downstream classes are the same ten digits, which makes transfer easier than from ImageNet to COCO, and
# a small network leaves less to lose. Severity 1 is the paper's protocol and the mildest.
#
# The last cell writes the tables and what made them: parameters, versions, device, time.

# %%
study.finish(scores, summary).round(1)
