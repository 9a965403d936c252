# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
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
# Every number carries its 95 % bootstrap interval in brackets: how far it would move with other test images of the same
# kind. It says nothing of another training, nor of other draws of the corruptions; `training_seeds` and `replicates`
# are for those.

# %%
"""Fixed-feature transfer to detection and segmentation, clean and corrupted."""

import pandas as pd
from IPython.display import Markdown, display

from robnb import plots, tables
from robnb.study import Study
from robnb.widgets import Predictions, explorer

# %% tags=["parameters"]
profile = "mini"  # which params these are; stamped on every result: smoke | mini | lab | paper
outputs = ""  # folder for every product; empty means the outputs folder of the repository
variation = ""  # a name for parameters that differ from the profile's; products then go to <notebook>@<name>
data = "miniworld"  # miniworld (made here) | paper (COCO 2017, ADE20K, ImageNet and the published weights)
data_root = ""  # folder of the paper's data sets and weights (robnb fetch fills it); not used by miniworld
roots = {}  # single ones that lie elsewhere: {"coco": "/data/coco"}; or ROBNB_COCO and the like in the environment
miniworld = {
    "upstream_train": 6000,
    "upstream_val": 300,
    "detection_train": 600,
    "detection_val": 60,
    "segmentation_train": 600,
    "segmentation_val": 60,
    "classification_train": 1500,
    "classification_val": 150,
}  # images to make per split
backbones = [
    "resnet_mini.regular",
    "resnet_mini.ant3x3",
    "resnet_mini.deepaug_augmix",
    "swin_mini.regular",
]  # architecture.weights
trained = []  # published transferred models to use instead of training: names, or authors (the paper's 24) | public
corruptions = ["benchmark"]  # single corruptions, or sets: benchmark (all 15) | noise | blur | weather | digital
severities = [1]  # 1 (mild) to 5 (severe); the paper's protocol is 1
engine = "fast"  # of the corruptions: fast (robnb's own) | reference (the imagecorruptions package)
classifier_images = "own_size"  # to corrupt: own_size | crops (as ImageNet-C) | crops_jpeg (as its files) | published
test_images = None  # images scored per condition, from the first; None scores the whole test split
replicates = 1  # draws of each corruption per image; more give the variance between draws
resamples = 1000  # bootstrap resamples of the test images, for the 95 % intervals
seed = 0  # of miniworld, the corruptions and the bootstrap
training_seeds = [0]  # one pretraining and transfer for each; several give the variance between trainings
workers = 2  # worker processes for data; of the sweep with scheduler local; no result depends on it
processes = 1  # training processes, each on a GPU of its own (torchrun)
scheduler = None  # of the sweep: None (this process) | local (worker processes here) | tcp://host:port (a Dask cluster)
inference = {
    "precision": "float32",
    "channels_last": False,
    "compile": False,
}  # of scoring; precision: float32 | bfloat16 | float16
pretraining = {
    "precision": "float32",
    "channels_last": True,
    "compile": False,
}  # of upstream training, as inference is of scoring
recipe = "short"  # of every transfer: short (one cycle) | paper (the published optimizers, schedules, augmentation)
variant = "corrected"  # where the paper's code and text differ: corrected | as_released
switches = {}  # single differences the other way: {"channel_order": "as_released"}; robnb.recipes.SWITCHES lists them
scales = {
    "upstream": [64, 64],
    "detection": [160, 128],
    "segmentation": [160, 128],
}  # upstream: resize, crop; others: width, height to fit
upstream = {
    "resnet": {"iterations": 300, "batch_size": 64, "lr": 0.1},
    "resnet_mini.ant3x3": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.deepaug_augmix": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "swin": {"iterations": 700, "batch_size": 32, "lr": 0.0005},
    "networks": {"iterations": 400, "batch_size": 16, "lr": 0.005},
}  # pretraining, per family of backbones or for one backbone; networks: DeepAugment's own
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
# the seed, and on nothing else: every backbone sees exactly these pixels. (With `variant: as_released` they are the
# same draws on an image whose red and blue are exchanged, as the authors' code corrupts it.)

# %%
grid = plots.corruption_grid(detection_test[0], study.conditions, study.seed, study.engine)
plots.save(grid, study.folder, "corruptions")

# %% [markdown]
# ## Upstream: where the backbones come from
#
# Each backbone first learns to classify. *Regular* is plain training. *ANT* goes on from it, on images under noise that
# a small network learns to make as harmful as it can. *DeepAugment* sends images through networks whose weights were
# tampered with; *AugMix* (the + of DeepAug+) mixes chains of image operations and asks for consistent answers. The Swin
# is trained plainly, and differs in its architecture. None of them sees a test corruption in training; but ANT's noise
# is close to the noise category, as it is in the paper. Notebook 00_pretrain says what each recipe gives and costs.
#
# The table is the paper's premise, checked: the upstream score, clean and corrupted.

# %%
backbones_trained = study.pretrain()
upstream_scored = study.evaluate(backbones_trained)
upstream_table = tables.with_intervals(tables.overview(study.results([upstream_scored]).summary))
tables.show(upstream_table, study.folder, "upstream")

# %% [markdown]
# ## Downstream: only the head learns
#
# Mask R-CNN and UperNet from mmdet's and mmsegmentation's own configs. With `variant: corrected` the backbone is frozen
# in full: no weight, no BatchNorm statistic and no relative-position table changes, and drop-path is off. The paper's
# released configs, which `variant: as_released` follows, freeze less than that for some models; that difference is a
# study of its own.

# %%
detectors = study.transfer(backbones_trained, "fixed_feature", "detection")
segmentors = study.transfer(backbones_trained, "fixed_feature", "segmentation")

# %% [markdown]
# ## Scores on clean and corrupted test images
#
# Box and mask AP are COCO's (mean over IoU 0.50 to 0.95), mIoU is mmsegmentation's. What was scored, on how many
# images:

# %%
evaluations = [upstream_scored, study.evaluate(detectors), study.evaluate(segmentors)]
conditions = [(condition.corruption, condition.severity) for condition in study.conditions]
tables.grid_status(pd.concat([evaluation.scores for evaluation in evaluations]), conditions)

# %% [markdown]
# Means are made of a complete grid only: a missing cell is an error here, never a zero. The bootstrap then draws the
# test images again and again, with replacement, and computes every number from each draw.

# %%
results = study.results(evaluations)
downstream = results.summary[results.summary["task"] != "upstream"]

# %% [markdown]
# ### Table 1: detection, drop per category in percent
#
# Beside the paper's COCO numbers. Outside the paper profile these are two different worlds: compare the order of the
# backbones and the direction of the differences, not the sizes. The paper prints no intervals.

# %%
tables.show(tables.beside_paper(downstream, "box_AP", study.profile), study.folder, "detection_beside_paper")

# %% [markdown]
# ### Table 2: semantic segmentation, drop per category in percent

# %%
tables.show(tables.beside_paper(downstream, "mIoU", study.profile), study.folder, "segmentation_beside_paper")

# %% [markdown]
# ### The same as a figure
#
# Lower bars are more robust. The whiskers are the intervals; an arrow head says that one goes on beyond the figure.

# %%
plots.save(plots.drop_by_category(downstream, ["box_AP", "mask_AP", "mIoU"]), study.folder, "drop_by_category")

# %% [markdown]
# Drop is relative, so a weak model can have a small one. Where each model starts and where it lands:

# %%
plots.save(plots.clean_and_corrupted(downstream, ["box_AP", "mask_AP", "mIoU"]), study.folder, "clean_and_corrupted")

# %% [markdown]
# And corruption by corruption, for the two headline metrics (the intervals of the scores are in `scores.csv`):

# %%
for metric in ("box_AP", "mIoU"):
    heat_map = plots.drop_by_corruption(results.scores, conditions, metric)
    display(plots.save(heat_map, study.folder, f"drop_by_corruption_{metric}"))

# %% [markdown]
# ## What we find
#
# Each model against the first backbone, on the same images: the difference of the drops, with the interval of the
# *paired* difference. It is usually narrower than the bars above suggest, because both models find the same images
# hard. Where an interval holds zero, no order is claimed, and the marker is open.

# %%
differences = results.differences(study.baseline)
plots.save(plots.differences(differences, study.baseline), study.folder, "differences")

# %% [markdown]
# The same in sentences, computed from the table. One interval in twenty misses the truth by chance, so a single
# category that stands out among many is not yet a finding.

# %%
comparison = tables.against_baseline(differences, study.baseline, results.scores)
Markdown(tables.sentences(comparison, tables.name(study.baseline, results.summary)))

# %% [markdown]
# And the question in one number: Kendall's tau between the models' drops upstream and downstream, 1 for the same order
# and -1 for the reverse. Its interval is for these models on other images, not for other models.

# %%
agreement = results.agreement()
plots.save(plots.agreement(results.summary, agreement), study.folder, "agreement")

# %%
Markdown(tables.agreement_sentences(agreement))

# %% [markdown]
# ## Another cut through the same numbers
#
# Choose a score, backbones, a category or a single corruption, a severity: figure and table follow.

# %%
explorer(results, evaluations, study.seed)

# %% [markdown]
# ## Look at single images
#
# What a model said of an image, clean and corrupted, beside what is annotated: the images that lose most come first.
# Choose models, a corruption, another image. Without a kernel this is a picture of the first choice.

# %%
Predictions(evaluations)

# %% [markdown]
# ## Limits
#
# The intervals cover the test images and nothing else. A second training, or a second draw of the corruptions, would
# move the numbers too; by how much, the table shows as standard deviations beside that of the images, in percentage
# points, where `training_seeds` and `replicates` ask for more than one. Where they do not, it is unknown, not zero.

# %%
tables.show(tables.variance_table(results.variance()), study.folder, "variance")

# %% [markdown]
# In miniworld the upstream and downstream classes are the same ten digits, which makes transfer easier than from
# ImageNet to COCO, and a small network leaves less to lose. Severity 1 is the paper's protocol and the mildest.
#
# The last cell writes the tables and what made them: parameters, versions, device, time.

# %%
tables.show(tables.with_intervals(study.finish(results)), study.folder, "overview")
