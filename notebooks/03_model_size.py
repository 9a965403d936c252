# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 Model size
#
# **Question.** Is a larger backbone a more robust one, on ImageNet and after the transfer? And is it the size, or the
# larger pretraining set that usually comes with it?
#
# **The paper** (section 5, figure 3, table 3) compares Swins: Tiny, Small and Base pretrained on ImageNet-1k, and Base
# pretrained on ImageNet-22k at two image sizes. Larger ones lose less in general; Base on ImageNet-1k is the exception,
# and loses more than Small.
#
# **Reads** the data named by `data` below and what other notebooks of this profile left in the store. **Writes**
# `outputs/<profile>/03_model_size/` (tables, figures) and the store: what is there already is not computed again.
#
# **How to read the numbers.** P is the score on clean images, mPC the mean score over corruptions, *drop* = 1 - mPC/P.
# Brackets are 95 % bootstrap intervals over test images.

# %%
"""Swins of several sizes: drop against size and clean score."""

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
    "upstream_larger": 18000,
    "upstream_val": 300,
    "detection_train": 600,
    "detection_val": 60,
    "segmentation_train": 600,
    "segmentation_val": 60,
    "classification_train": 1500,
    "classification_val": 150,
}  # images to make per split; upstream_larger is what regular_larger learns from
backbones = [
    "swin_mini.regular",
    "swin_mini_small.regular",
    "swin_mini_base.regular",
    "swin_mini_base.regular_larger",
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
    "swin": {"iterations": 700, "batch_size": 32, "lr": 0.0005},
}  # pretraining, per family of backbones or for one backbone
detection = {
    "resnet": {"iterations": 170, "batch_size": 8, "lr": 0.04},
    "swin": {"iterations": 170, "batch_size": 8, "lr": 0.001},
}  # training, per family
segmentation = {
    "resnet": {"iterations": 140, "batch_size": 8, "lr": 0.15},
    "swin": {"iterations": 140, "batch_size": 8, "lr": 0.001},
}  # training, per family

# %% [markdown]
# Every parameter is checked before anything is computed. In the paper profile, so is every data set and checkpoint:
# what is missing is listed here, with the command that fetches it.

# %%
study = Study.from_notebook("03_model_size", globals())

# %% [markdown]
# ## The backbones
#
# Their size, counted on the networks themselves (without heads), beside the paper's table 3.

# %%
sizes = study.million_parameters()
tables.show(tables.sizes(sizes), study.folder, "sizes")

# %%
backbones_there = study.pretrain()
evaluations = [study.evaluate(backbones_there)]

# %% [markdown]
# ## Downstream
#
# Every weight learns. The paper's own figure very probably scores models that others had trained and published; with
# `trained` this notebook scores the same files instead of training. On COCO some of them are Cascade Mask R-CNNs
# (Base's always is), and say so in their name: another detector, whose box AP and mask AP are not to be compared with
# those of a Mask R-CNN.

# %%
for task in ("detection", "segmentation"):
    evaluations.append(study.evaluate(study.transfer(backbones_there, "full_network", task)))

# %% [markdown]
# What was scored, on how many images. Means are made of a complete grid only.

# %%
conditions = [(condition.corruption, condition.severity) for condition in study.conditions]
tables.grid_status(pd.concat([evaluation.scores for evaluation in evaluations]), conditions)

# %%
results = study.results(evaluations)

# %% [markdown]
# ## Figure 3: score and drop against size

# %%
called = "parameters of the backbone (millions)"
plots.save(plots.scores_along(results.summary, sizes, called), study.folder, "scores_by_size")

# %%
plots.save(plots.drops_along(results.summary, sizes, called), study.folder, "drops_by_size")

# %%
tables.show(tables.with_intervals(tables.rank_table(results.summary)), study.folder, "ranks")

# %% [markdown]
# ## What we find
#
# Each model against the first of its task on the same images: the difference of the drops, with the interval of the
# *paired* difference. Where an interval holds zero, no order is claimed, and the marker is open. One interval in twenty
# misses the truth by chance, so a single category that stands out among many is not yet a finding.

# %%
differences = []
for evaluation in evaluations:
    first = evaluation.models[0].called
    of_task = study.results([evaluation])
    differences.append(of_task.differences(first))
    shown = plots.differences(differences[-1], first)
    display(plots.save(shown, study.folder, f"differences_{evaluation.task}"))
    comparison = tables.against_baseline(differences[-1], first, of_task.scores)
    display(Markdown(tables.sentences(comparison, tables.name(first, of_task.summary))))

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
# move the numbers too; by how much, the table shows in percentage points, where `training_seeds` and `replicates` ask
# for more than one. Where they do not, it is unknown, not zero.

# %%
tables.show(tables.variance_table(results.variance()), study.folder, "variance")

# %% [markdown]
# The last cell writes the tables and what made them: parameters, versions, device, time.

# %%
tables.show(tables.with_intervals(study.finish(results, pd.concat(differences))), study.folder, "overview")
