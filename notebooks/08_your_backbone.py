# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 Your backbone
#
# **Question.** Here is a backbone: where does it stand among the others? It is scored upstream, transferred to each
# task with its features frozen and with every weight trained, and scored there, on clean and on corrupted images. What
# a choice among backbones turns on is then said of yours: what corruptions take from it, and whether that is less than
# they take from the others.
#
# **The paper** (Yamada & Otani, CVPR 2022) asks this of four backbones, which yours stands beside: the regular
# ResNet-50, two that were trained to be robust (ANT, DeepAugment+AugMix), and Swin-T, whose robustness comes from its
# architecture. It finds that the robust ones lose less than the regular one while they are frozen (section 3), and that
# little of their order is left when every weight is trained (section 4).
#
# **Name yours** in the parameter `yours`, in the notebook or on the command line. In the paper's world that is any
# pretrained model of timm, or a file of your own weights:
#
#     robnb run 08_your_backbone --profile paper -p yours "[convnext_tiny.fb_in1k]"
#     robnb run 08_your_backbone --profile paper -p yours "[resnet50@/data/mine.pth]"
#
# In miniworld, which has no published weights, it is an architecture and the recipe that trains it here:
#
#     robnb run 08_your_backbone -p yours "[resnet_mini.augmix]"
#
# **Reads** the data named by `data` below and what other notebooks of this profile left in the store: the others'
# models are those of notebooks 01 and 02. **Writes** `outputs/<profile>/08_your_backbone/` (tables, figures) and the
# store.
#
# **How to read the numbers.** P is the score on clean images, mPC the mean score over corruptions, and
# *drop* = 1 - mPC/P the share that the corruptions take away. Low drop means robust, whatever P is.
# Every number carries its 95 % bootstrap interval in brackets: how far it would move with other test images of the same
# kind. It says nothing of another training, nor of other draws of the corruptions; `training_seeds` and `replicates`
# are for those. In the figures yours have a star or a dark border, and their names are bold.

# %%
"""One or more backbones of the reader's own, upstream and on every task, beside the paper's."""

import pandas as pd
from IPython.display import Markdown, display

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
]  # architecture.weights; those that yours stand beside
yours = ["resnet_mini.prime"]  # one or more, as architecture.recipe; of the paper's world, of timm or architecture@file
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
classification = {
    "resnet": {"iterations": 150, "batch_size": 32, "lr": 0.02},
    "swin": {"iterations": 150, "batch_size": 32, "lr": 0.0005},
}  # training, per family

# %% [markdown]
# Every parameter is checked before anything is computed: a name that nobody knows stops the notebook here with one
# sentence. In the paper profile, so does a missing data set or checkpoint. This is what your backbones, and those
# beside them, are called from here on:

# %%
mine = tables.models_of(yours)
study = Study.from_notebook("08_your_backbone", globals())
Markdown(tables.introduction(yours, backbones))

# %% [markdown]
# ## Upstream: where each of them starts
#
# The classifier that a backbone was pretrained as, on the images it was pretrained for: clean, and corrupted in the
# 15 ways of ImageNet-C. If robustness is a property of the backbone, this is where it shows first.

# %%
backbones_trained = study.pretrain()
upstream_scored = study.evaluate(backbones_trained)
upstream = study.results([upstream_scored]).summary
tables.show(tables.with_intervals(tables.overview(upstream)), study.folder, "upstream")

# %%
plots.save(plots.drop_by_category(upstream, ["top1"], mine), study.folder, "upstream_drop_by_category")

# %% [markdown]
# ## Downstream: first the head alone learns, then every weight
#
# Mask R-CNN and UperNet on every backbone, from mmdet's and mmsegmentation's own configs. With *frozen* features
# nothing of the backbone changes (unless `variant` is as_released: the authors' code lets some of it drift), so what it
# brings along is all there is. With *every weight trained*, which is what
# one does in practice, a backbone can forget what it knew. Classification is transferred in this second way only, as in
# the paper.

# %%
evaluations = [upstream_scored]
for regime, scored_on in {
    "fixed_feature": ["detection", "segmentation"],
    "full_network": ["detection", "segmentation", "classification"],
}.items():
    for task in scored_on:
        evaluations.append(study.evaluate(study.transfer(backbones_trained, regime, task)))

# %% [markdown]
# What was scored, on how many images. Means are made of a complete grid only: a missing cell is an error, never a zero.

# %%
conditions = [(condition.corruption, condition.severity) for condition in study.conditions]
tables.grid_status(pd.concat([evaluation.scores for evaluation in evaluations]), conditions)

# %%
results = study.results(evaluations)
summary = results.summary
frozen, full = (summary[summary["regime"] == regime] for regime in ("fixed_feature", "full_network"))
downstream = summary[summary["task"] != "upstream"]

# %% [markdown]
# ## The answer: the place of yours on every score
#
# The place is by drop, 1 for the backbone that loses least. Behind it, in brackets, stand the places that the test
# images leave open: each of the others is compared with yours on the same images, and where the interval of that
# *paired* difference holds zero, either of the two may be ahead.

# %%
differences = {model: results.differences(model).assign(baseline=".".join(model)) for model in mine}
standings = pd.concat([tables.standing(summary, of_model, model) for model, of_model in differences.items()])
tables.show(tables.standing_table(standings), study.folder, "standing")

# %% [markdown]
# The same, counted over the downstream scores. Scores of one task are of the same images, so they do not count as
# independent; and one interval in twenty misses the truth by chance.

# %%
Markdown(tables.standing_sentences(standings))

# %% [markdown]
# All drops beside each other, upstream first. Lower bars are more robust; the whiskers are the intervals, and an arrow
# head says that one goes on beyond the figure.

# %%
plots.save(plots.drop_by_task(summary, mine), study.folder, "drop_by_task")

# %% [markdown]
# ### Yours against each of the others
#
# The drop of yours minus that of each of the others: left of zero, yours loses less. Filled markers are told apart from
# zero. The categories show where a place comes from: two backbones of the same drop may fail on different corruptions.

# %%
for model, of_model in differences.items():
    figure = plots.differences(of_model, model, turned=True)
    display(plots.save(figure, study.folder, "differences_" + ".".join(model)))

# %% [markdown]
# ## Frozen: drop per category in percent
#
# Beside the numbers that the paper prints, of COCO and of ADE20K. Outside the paper profile these are two different
# worlds: compare the order of the backbones and the direction of the differences, not the sizes. Detection:

# %%
tables.show(tables.beside_paper(frozen, "box_AP", study.profile), study.folder, "detection_beside_paper")

# %% [markdown]
# Semantic segmentation:

# %%
tables.show(tables.beside_paper(frozen, "mIoU", study.profile), study.folder, "segmentation_beside_paper")

# %%
frozen_figure = plots.drop_by_category(frozen, ["box_AP", "mask_AP", "mIoU"], mine)
plots.save(frozen_figure, study.folder, "frozen_drop_by_category")

# %% [markdown]
# ## Every weight trained: drop per category
#
# The paper prints no numbers for these, only its figure 2.

# %%
full_figure = plots.drop_by_category(full, ["box_AP", "mask_AP", "mIoU", "top1"], mine)
plots.save(full_figure, study.folder, "full_drop_by_category")

# %% [markdown]
# ## Clean and corrupted
#
# Drop is relative, so a weak model can have a small one. What one gets is the score: where each model starts, and where
# the corruptions take it. A backbone further right may be the better choice although it loses more.

# %%
clean_figure = plots.clean_and_corrupted(downstream, ["box_AP", "mask_AP", "mIoU", "top1"], mine)
plots.save(clean_figure, study.folder, "clean_and_corrupted")

# %% [markdown]
# ## Could one have known it from upstream?
#
# The drop upstream against the drop on each task. Kendall's tau is 1 where the order is the same and -1 where it is
# reversed; its interval is for these models on other images, not for other models. If the points of a panel lie on a
# rising line, a test on upstream images would have told you where yours stands there.

# %%
agreement = results.agreement()
plots.save(plots.agreement(summary, agreement, mine), study.folder, "agreement")

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
# **One training.** The intervals cover the test images and nothing else. A second training, or a second draw of the
# corruptions, would move the numbers too; by how much, the table shows as standard deviations beside that of the
# images, in percentage points, where `training_seeds` and `replicates` ask for more than one. Where they do not, it is
# unknown, not zero.

# %%
tables.show(tables.variance_table(results.variance()), study.folder, "variance")

# %% [markdown]
# **Pretraining differs.** Backbones that were pretrained on other images, for longer or with another recipe differ in
# more than their architecture: a place says which weights lose less, not why. In the paper's world some models of timm
# have seen far more images than the others here. Budgets differ as well: each family of backbones has one rate for each
# task, and yours takes that of its family unless a task's settings name it.
#
# A place is one among these models. Severity 1 is the paper's protocol and the mildest.
#
# The last cell writes the tables and what made them: parameters, versions, device, time. In `differences.csv`, the
# `baseline` is yours.

# %%
overview = study.finish(results, pd.concat(differences.values()))
tables.show(tables.with_intervals(overview), study.folder, "overview")
