# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The authors' own models
#
# **Question.** The authors of the paper released 24 of their trained models. What do they score, clean and corrupted,
# when somebody else measures? Nothing is trained here: with COCO 2017, ADE20K and these files, the paper's tables 1
# and 2 and the PRIME half of tables 4 and 5 can be measured again.
#
# **Reads** the validation images of COCO and ADE20K and the 24 files (`robnb fetch --for authors_models --profile
# paper`). **Writes** `outputs/<profile>/authors_models/` (tables, figures) and the store, which notebooks 01, 02 and
# 06 share when they run with `trained: [authors]`.
#
# **What is not known of the files.** Which learning rate, batch size or library version made each, and for two of the
# PRIME models whether PRIME ran at all: their configs say otherwise than their names. `variant` and `switches` choose
# how they are tested: the order of colour channels under the corruptions, and the normalisation of the PRIME models.
#
# **How to read the numbers.** P is the score on clean images, mPC the mean score over corruptions, *drop* = 1 - mPC/P.
# Brackets are 95 % bootstrap intervals over test images. The paper prints none, and trained every model once.

# %%
"""The 24 released models, scored on clean and corrupted COCO and ADE20K."""

import pandas as pd
from IPython.display import Markdown, display

from robnb import plots, tables
from robnb.study import Study
from robnb.widgets import Predictions, explorer

# %% tags=["parameters"]
profile = "paper"  # which params these are; stamped on every result; it has no other
outputs = ""  # folder for every product; empty means the outputs folder of the repository
variation = ""  # a name for parameters that differ from the profile's; products then go to <notebook>@<name>
data = "paper"  # COCO 2017, ADE20K and the published models; miniworld has none
data_root = ""  # folder of the paper's data sets and weights (robnb fetch fills it)
roots = {}  # single ones that lie elsewhere: {"coco": "/data/coco"}; or ROBNB_COCO and the like in the environment
trained = ["authors"]  # published transferred models: names, or authors (the paper's 24) | public
corruptions = ["benchmark"]  # single corruptions, or sets: benchmark (all 15) | noise | blur | weather | digital
severities = [1]  # 1 (mild) to 5 (severe); the paper's protocol is 1
engine = "fast"  # of the corruptions: fast (robnb's own) | reference (the imagecorruptions package)
test_images = None  # images scored per condition, from the first; None scores the whole test split
replicates = 1  # draws of each corruption per image; more give the variance between draws
resamples = 1000  # bootstrap resamples of the test images, for the 95 % intervals
seed = 0  # of miniworld, the corruptions and the bootstrap
workers = 2  # worker processes for data; of the sweep with scheduler local; no result depends on it
scheduler = None  # of the sweep: None (this process) | local (worker processes here) | tcp://host:port (a Dask cluster)
inference = {
    "precision": "float32",
    "channels_last": False,
    "compile": False,
}  # of scoring; precision: float32 | bfloat16 | float16
variant = "corrected"  # where the paper's code and text differ: corrected | as_released
switches = {}  # single differences the other way: {"channel_order": "as_released"}; robnb.recipes.SWITCHES lists them
scales = {
    "detection": [1333, 800],
    "segmentation": [2048, 512],
}  # width, height to fit
classifier_images = "crops"  # to corrupt: own_size | crops (as ImageNet-C) | crops_jpeg (as its files) | published
detection = {}  # nothing is trained
segmentation = {}  # nothing is trained

# %% [markdown]
# Every parameter is checked before anything is computed, and so is every data set and model file: what is missing is
# listed here, with the command that fetches it.

# %%
study = Study.from_notebook("authors_models", globals())
tasks = study.tasks

# %% [markdown]
# ## Scores

# %%
evaluations = []
for task in ("detection", "segmentation"):
    models = study.released(task)
    if models:
        evaluations.append(study.evaluate(models))

# %% [markdown]
# What was scored, on how many images. Means are made of a complete grid only.

# %%
conditions = [(condition.corruption, condition.severity) for condition in study.conditions]
tables.grid_status(pd.concat([evaluation.scores for evaluation in evaluations]), conditions)

# %%
results = study.results(evaluations)

# %% [markdown]
# ## Tables 1 and 2: the backbone frozen, drop per category in percent

# %%
for metric in ("box_AP", "mIoU"):
    beside = tables.beside_paper(results.summary, metric, study.profile)
    display(tables.show(beside, study.folder, f"{metric}_beside_paper"))

# %% [markdown]
# ## Tables 4 and 5: PRIME weights, PRIME in the transfer
#
# The authors released no model with PRIME weights and a plain transfer, so only the second half can be measured.

# %%
tables.show(tables.prime_beside_paper(results.summary, study.profile), study.folder, "prime_beside_paper")

# %% [markdown]
# ## All of them

# %%
tables.show(tables.with_intervals(tables.overview(results.summary)), study.folder, "downstream")

# %%
metrics = ["box_AP", "mask_AP", "mIoU"]
plots.save(plots.drop_by_category(results.summary, metrics), study.folder, "drop_by_category")

# %%
plots.save(plots.clean_and_corrupted(results.summary, metrics), study.folder, "clean_and_corrupted")

# %% [markdown]
# ## What we find
#
# Each model against the regular ResNet-50 of its own regime, on the same images: the difference of the drops, with the
# interval of the *paired* difference. Where an interval holds zero, no order is claimed, and the marker is open.

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
# The intervals cover the test images and nothing else: there is one training of each model.
#
# The last cell writes the tables and what made them: parameters, versions, device, time.

# %%
tables.show(tables.with_intervals(study.finish(results)), study.folder, "overview")
