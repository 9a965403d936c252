# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 Adversarial priors
#
# **Question.** A backbone that was trained against adversarial perturbations has other features. Are they more robust
# to corruptions, upstream and after the transfer? And what does the size of the perturbations change?
#
# **The paper** (section 6, figure 4) takes ResNet-50s trained within an L2 ball of radius eps. On ImageNet, a larger
# eps means a lower clean accuracy and a larger drop. Downstream the clean score falls with eps too, but so does the
# drop: eps 0.1 drops most. It has no eps 0. We add it: the same training recipe without a perturbation, the control
# that tells the recipe from the adversary.
#
# **Reads** the data named by `data` below and what other notebooks of this profile left in the store. **Writes**
# `outputs/<profile>/04_adversarial_priors/` (tables, figures) and the store: what is there already is not computed
# again.
#
# **How to read the numbers.** P is the score on clean images, mPC the mean score over corruptions, *drop* = 1 - mPC/P.
# A drop can fall because mPC rises or because P does: look at both figures. Brackets are 95 % bootstrap intervals.

# %%
"""ResNet-50s trained within L2 balls of several radii: score and drop against the radius."""

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
    "resnet_mini.l2_eps0",
    "resnet_mini.l2_eps0.1",
    "resnet_mini.l2_eps0.25",
    "resnet_mini.l2_eps0.5",
    "resnet_mini.l2_eps1",
]  # architecture.weights; l2_eps and the radius of adversarial training
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
    "resnet": {"iterations": 150, "batch_size": 64, "lr": 0.1},
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
study = Study.from_notebook("04_adversarial_priors", globals())
radii = study.radii()

# %% [markdown]
# ## Upstream

# %%
backbones_there = study.pretrain()
evaluations = [study.evaluate(backbones_there)]

# %% [markdown]
# ## Downstream
#
# Every weight learns, from each of the backbones, with the same budget.

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
# ## Figure 4: score and drop against eps
#
# The radii stand at equal distances, not to scale.

# %%
called = "radius eps of adversarial training (L2)"
plots.save(plots.scores_along(results.summary, radii, called, even=True), study.folder, "scores_by_eps")

# %%
plots.save(plots.drops_along(results.summary, radii, called, even=True), study.folder, "drops_by_eps")

# %%
tables.show(tables.with_intervals(tables.rank_table(results.summary)), study.folder, "ranks")

# %% [markdown]
# Does the order upstream reappear downstream? The paper says it turns round.

# %%
agreement = results.agreement()
Markdown(tables.agreement_sentences(agreement))

# %% [markdown]
# ## What we find
#
# Each model against the first (eps 0, the control) on the same images: the difference of the drops, with the interval
# of the *paired* difference. Where an interval holds zero, no order is claimed, and the marker is open. One interval
# in twenty misses the truth by chance, so a single category that stands out among many is not yet a finding.

# %%
differences = results.differences(study.baseline)
plots.save(plots.differences(differences, study.baseline), study.folder, "differences")

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
# move the numbers too; by how much, the table shows in percentage points, where `training_seeds` and `replicates` ask
# for more than one. Where they do not, it is unknown, not zero.

# %%
tables.show(tables.variance_table(results.variance()), study.folder, "variance")

# %% [markdown]
# The last cell writes the tables and what made them: parameters, versions, device, time.

# %%
tables.show(tables.with_intervals(study.finish(results)), study.folder, "overview")
