# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 PRIME in the transfer
#
# **Question.** PRIME makes a backbone robust upstream. What if its images are mixed in while the downstream task is
# learnt?
#
# **The paper** (appendix B, tables 4 and 5, figure 6) finds that it lowers the drop on both tasks, costs clean AP on
# COCO and costs nothing on ADE20K.
#
# **A trap.** The code that the authors released feeds PRIME pixels from 0 to 255 and clamps its results to [0, 1]:
# what the network then sees is the image, darkened by a random factor. So what the paper calls PRIME in the transfer
# is random darkening, and whether PRIME itself helps is open. This notebook shows what each does to an image, and
# trains with the one that `variant` (or `switches`: prime_range) names.
#
# **Reads** the data named by `data` below and what other notebooks of this profile left in the store. **Writes**
# `outputs/<profile>/06_prime/` (tables, figures) and the store: what is there already is not computed again.
#
# **How to read the numbers.** P is the score on clean images, mPC the mean score over corruptions, *drop* = 1 - mPC/P.
# Brackets are 95 % bootstrap intervals over test images.

# %%
"""Transfer without and with PRIME's images mixed in."""

import pandas as pd
from IPython.display import Markdown

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
    "resnet_mini.deepaug_augmix",
    "resnet_mini.prime",
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
    "resnet_mini.deepaug_augmix": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.prime": {"iterations": 150, "batch_size": 64, "lr": 0.1},
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

# %% [markdown]
# Every parameter is checked before anything is computed. In the paper profile, so is every data set and checkpoint:
# what is missing is listed here, with the command that fetches it.

# %%
study = Study.from_notebook("06_prime", globals())

# %% [markdown]
# ## What PRIME does to a training image
#
# Above as defined, on pixels from 0 to 1; below as released. The geometric transformation is left out in both, because
# boxes and label maps would have to follow it.

# %%
image = study.tasks["detection"].open("test")[0].image
plots.save(plots.prime_samples(image, study.seed), study.folder, "prime_samples")

# %% [markdown]
# ## Upstream

# %%
backbones_there = study.pretrain()
evaluations = [study.evaluate(backbones_there)]

# %% [markdown]
# ## Downstream, without and with PRIME
#
# Every weight learns; budget, schedule and seed are the same in both.

# %%
without = {}
for task in ("detection", "segmentation"):
    plain = study.transfer(backbones_there, "full_network", task)
    mixed = study.transfer(backbones_there, "full_network", task, prime=True)
    evaluations.append(study.evaluate([*plain, *mixed]))
    without |= {after.called: before.called for after, before in zip(mixed, plain, strict=True)}

# %% [markdown]
# What was scored, on how many images. Means are made of a complete grid only.

# %%
conditions = [(condition.corruption, condition.severity) for condition in study.conditions]
tables.grid_status(pd.concat([evaluation.scores for evaluation in evaluations]), conditions)

# %%
results = study.results(evaluations)

# %% [markdown]
# ## Tables 4 and 5: PRIME weights, without and with PRIME in the transfer
#
# Ours beside the paper's, which prints no intervals. Outside the paper profile these are two worlds: compare
# directions.

# %%
tables.show(tables.prime_beside_paper(results.summary, study.profile), study.folder, "prime_beside_paper")

# %% [markdown]
# ## Figure 6: every backbone without and with PRIME in the transfer

# %%
downstream = results.summary[results.summary["task"] != "upstream"]
metrics = ["box_AP", "mask_AP", "mIoU"]
plots.save(plots.clean_and_corrupted(downstream, metrics), study.folder, "clean_and_corrupted")

# %%
plots.save(plots.drop_by_category(downstream, metrics), study.folder, "drop_by_category")

# %% [markdown]
# ## What we find
#
# Each backbone with PRIME in the transfer against itself without, on the same images: the difference of the drops, with
# the interval of the *paired* difference. Where an interval holds zero, no order is claimed, and the marker is open.

# %%
differences = results.differences(without)
plots.save(plots.differences(differences, "the same without PRIME"), study.folder, "differences")

# %%
comparison = tables.against_baseline(differences, "the same without PRIME", results.scores)
Markdown(tables.sentences(comparison, "the same without PRIME in the transfer"))

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
tables.show(tables.with_intervals(study.finish(results, differences)), study.folder, "overview")
