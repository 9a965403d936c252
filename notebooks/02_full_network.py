# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 Full-network transfer
#
# **Question.** Now every weight is trained on the downstream task, as one does in practice. Is the robustness of the
# backbone still there afterwards, and does the order of the backbones on corrupted ImageNet predict their order
# downstream?
#
# **The paper** (Yamada & Otani, CVPR 2022, section 4, figure 2) finds: the CNNs keep some of their robustness on COCO
# and ADE20K; Swin-T is the most robust there although it is not on ImageNet-C; and on CIFAR-10 none of the robust
# backbones beats the regular one. The order upstream is not the order downstream.
#
# **Reads** the data named by `data` below. **Writes** `outputs/<profile>/02_full_network/` (tables, figures) and the
# store that all notebooks of a profile share: the backbones of notebook 01 are not trained again.
#
# **How to read the numbers.** P is the score on clean images, mPC the mean score over corruptions, and
# *drop* = 1 - mPC/P the share that the corruptions take away. Low drop means robust, whatever P is.
# Every number carries its 95 % bootstrap interval in brackets: how far it would move with other test images of the same
# kind. It says nothing of another training, nor of other draws of the corruptions; `training_seeds` and `replicates`
# are for those.

# %%
"""Full-network transfer to detection, segmentation and classification, clean and corrupted."""

import pandas as pd
from IPython.display import Markdown

from robnb import plots, tables
from robnb.study import Study
from robnb.widgets import Predictions, explorer

# %% tags=["parameters"]
profile = "mini"  # which params these are; stamped on every result: smoke | mini | lab | paper
outputs = ""  # folder for every product; empty means the outputs folder of the repository
variation = ""  # a name for parameters that differ from the profile's; products then go to <notebook>@<name>
data = "miniworld"  # miniworld (made here) | paper (COCO 2017, ADE20K, CIFAR-10, ImageNet and the published weights)
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
    "classification": [64, 64],
}  # classification: resize, crop; others: width, height to fit
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
}  # training, per family
segmentation = {
    "resnet": {"iterations": 140, "batch_size": 8, "lr": 0.15},
    "swin": {"iterations": 140, "batch_size": 8, "lr": 0.001},
}  # training, per family
classification = {
    "resnet": {"iterations": 150, "batch_size": 32, "lr": 0.02},
    "swin": {"iterations": 150, "batch_size": 32, "lr": 0.0005},
}  # training, per family

# %% [markdown]
# Every parameter is checked before anything is computed. In the paper profile, so is every data set and checkpoint.

# %%
study = Study.from_notebook("02_full_network", globals())
tasks = study.tasks

# %% [markdown]
# ## The fourth task: downstream classification
#
# Detection and segmentation data are those of notebook 01. Where the paper uses CIFAR-10, miniworld has small crops of
# digits nobody has seen upstream, on photographs nobody has seen. They are corrupted at their own size and then
# enlarged, as CIFAR-10 images are before an ImageNet backbone sees them.

# %%
plots.save(plots.samples(tasks["classification"].open("test"), 8), study.folder, "classification_samples")

# %% [markdown]
# ## Upstream: the ImageNet-C of this world
#
# The backbones are those of notebook 01, and so are their upstream scores: what notebook 01 finished is read here.

# %%
backbones_trained = study.pretrain()
evaluations = [study.evaluate(backbones_trained)]

# %% [markdown]
# ## Downstream: every weight learns
#
# The same models and schedules as with the frozen backbone. With `variant: corrected` only ResNet's BatchNorm
# statistics stay as pretrained in the detector and the segmentor, which is mmdet's standard for small batches; their
# scales and shifts are trained. (`as_released` keeps the stem frozen in the detector, and lets the segmentor's
# statistics follow.)

# %%
for task in ("detection", "segmentation", "classification"):
    models = study.transfer(backbones_trained, "full_network", task)
    evaluations.append(study.evaluate(models))

# %% [markdown]
# What was scored, on how many images:

# %%
conditions = [(condition.corruption, condition.severity) for condition in study.conditions]
tables.grid_status(pd.concat([evaluation.scores for evaluation in evaluations]), conditions)

# %% [markdown]
# Means are made of a complete grid only. The bootstrap draws the test images again and again, with replacement, and
# computes every number from each draw.

# %%
results = study.results(evaluations)
summary = results.summary

# %% [markdown]
# ## Figure 2: the drop on each task
#
# Lower bars are more robust; the whiskers are the intervals, and an arrow head says that one goes on beyond the figure.
# If robustness transferred in order, the panels would have the same profile.

# %%
plots.save(plots.drop_by_task(summary), study.folder, "drop_by_task")

# %% [markdown]
# The same as numbers, with the rank of each backbone on each task (1 loses least). Ranks are of the estimates: where
# the intervals overlap widely, another test set may well turn two of them round.

# %%
tables.show(tables.with_intervals(tables.rank_table(summary)), study.folder, "ranks")

# %% [markdown]
# ## Does the order upstream reappear downstream?
#
# The paper's question in one number for each task: Kendall's tau between the models' drops upstream and downstream, 1
# for the same order and -1 for the reverse. Its interval is for these models on other images, not for other models, and
# with few models tau has few values.

# %%
agreement = results.agreement()
plots.save(plots.agreement(summary, agreement), study.folder, "agreement")

# %%
Markdown(tables.agreement_sentences(agreement))

# %% [markdown]
# ## By category of corruptions

# %%
plots.save(plots.drop_by_category(summary, ["box_AP", "mask_AP", "mIoU"]), study.folder, "drop_by_category")

# %% [markdown]
# Drop is relative, so a weak model can have a small one. Where each model starts and where it lands:

# %%
downstream = summary[summary["task"] != "upstream"]
plots.save(
    plots.clean_and_corrupted(downstream[downstream["metric"] != "top1"], ["box_AP", "mask_AP", "mIoU"]),
    study.folder,
    "clean_and_corrupted",
)

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
# The paper prints no numbers for its figure 2, so there are none to stand beside ours. Severity 1 is the paper's
# protocol and the mildest.
#
# The last cell writes the tables and what made them: parameters, versions, device, time.

# %%
tables.show(tables.with_intervals(study.finish(results)), study.folder, "overview")
