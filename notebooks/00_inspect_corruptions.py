# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 What the corruptions look like
#
# **Question.** What is done to the test images, before any model is asked? A drop under "fog at severity 3" says
# something only to somebody who has seen fog at severity 3, on images of this size.
#
# **The paper** (Yamada & Otani, CVPR 2022) corrupts the test images of COCO, ADE20K and CIFAR-10 in the 15 ways of
# ImageNet-C (Hendrycks & Dietterich 2019), in four categories: noise, blur, weather, digital. They were calibrated on
# ImageNet, on crops of 224 pixels.
#
# **Reads** the test images named by `data` below; no model is needed. **Writes**
# `outputs/<profile>/00_inspect_corruptions/` (the figures and their numbers).

# %%
"""The corruptions on the test images of every task: a browser, a grid, and how far each one moves the pixels."""

from robnb import plots, tables
from robnb.corruptions import conditions
from robnb.strength import strengths
from robnb.study import Study
from robnb.widgets import CorruptionBrowser

# %% tags=["parameters"]
profile = "mini"  # which params these are; stamped on every result: smoke | mini | lab | paper
outputs = ""  # folder for every product; empty means the outputs folder of the repository
variation = ""  # a name for parameters that differ from the profile's; products then go to <notebook>@<name>
data = "miniworld"  # miniworld (made here) | paper (COCO 2017, ADE20K, CIFAR-10 and ImageNet)
data_root = ""  # folder of the paper's data sets; not used by miniworld
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
images = 10  # test images that the pixels' distances are averaged over, from the first
corruptions = ["benchmark"]  # single corruptions, or sets: benchmark (all 15) | noise | blur | weather | digital
severities = [1, 2, 3, 4, 5]  # 1 (mild) to 5 (severe); the paper's protocol is 1
engine = "fast"  # of the corruptions: fast (robnb's own) | reference (the imagecorruptions package)
seed = 0  # of miniworld and the corruptions
workers = 2  # worker processes that make miniworld
scales = {}  # nothing is resized for a model
look_at = ["detection", "segmentation", "classification", "upstream"]  # tasks in the browser; figures: of the first

# %% [markdown]
# Every parameter is checked before anything is read. In the paper profile, so is every data set: what is missing is
# listed here, with the command that fetches it.

# %%
study = Study.from_notebook("00_inspect_corruptions", globals(), others=["images"])
shown = study.tasks[look_at[0]].open("test", images)

# %% [markdown]
# ## The images
#
# Some of them with what is annotated: the objects or labels that a model is to find, corrupted or not. The corruptions
# leave the annotations as they are.

# %%
plots.save(plots.samples(shown, min(len(shown), 6)), study.folder, "samples")

# %% [markdown]
# ## One image at a time
#
# Choose a data set, an image, a corruption; move the severity. On the right is the difference, as bright as it can be:
# what a corruption *changes*, while the middle shows what a model *sees*. Another seed is another draw; blur, contrast,
# pixelate and JPEG have nothing to draw. Zoom in to see single pixels.

# %%
CorruptionBrowser({task: study.tasks[task] for task in look_at}, study.seed, study.engine)

# %% [markdown]
# ## Every corruption at every severity
#
# One image, a corruption to a column, milder at the top. These are exactly the pixels that a model is scored on with
# this seed: they are made from the same key. (With `variant: as_released` models are scored on the same draws on images
# whose red and blue are exchanged, as in the authors' code.)

# %%
every = conditions(corruptions, severities)[1:]
plots.save(plots.severity_grid(shown[0], every, seed, engine), study.folder, "every_condition")

# %% [markdown]
# ## A severity is not a distance
#
# The same severity of two corruptions may move the pixels by very different amounts, and what moves them most need not
# be what hurts a model most: brightness changes every pixel and hides nothing. So mPC is a mean over corruptions, not
# over distances, and a comparison of two categories is one of ImageNet-C's choices too.

# %%
moved = strengths([shown[k] for k in range(len(shown))], every, seed, engine)
plots.save(plots.strengths(moved), study.folder, "strengths")

# %% [markdown]
# The last cell writes the numbers of that figure and what made them.

# %%
tables.save(moved.assign(profile=profile), study.folder, "strengths")
study.note_provenance()
differences = moved.pivot(index="corruption", columns="severity", values="difference").round(1)
tables.show(differences.loc[moved["corruption"].unique()].reset_index(), study.folder, "differences")
