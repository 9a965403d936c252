# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 Weights and data sets
#
# **Question.** What do the notebooks need that others have published, what of it is here, and is it what it says it is?
#
# Miniworld needs none of this: the smoke and mini profiles make all their data and train all their backbones. The paper
# profile reads COCO 2017, ADE20K, CIFAR-10 and ImageNet, and weights that seven groups have published.
#
# **Reads** the folders of data sets and weights; nothing is downloaded here. **Writes**
# `outputs/<profile>/00_assets/assets.csv`, and with `backbones` the clean accuracies.

# %%
"""What each notebook needs of published weights and data sets, and the clean accuracy of what is there."""

from pathlib import Path

from IPython.display import Markdown, display

from robnb import needs, tables
from robnb.assets import DEFAULT_DATA_ROOT, Roots
from robnb.evaluation.gate import clean_accuracy
from robnb.parameters import REPOSITORY, products_folder
from robnb.study import Study

# %% tags=["parameters"]
profile = "mini"  # which params these are; stamped on every result: smoke | mini | paper
outputs = ""  # folder for every product; empty means the outputs folder of the repository
needs_of = "paper"  # the profile whose needs are listed
data = "paper"  # miniworld needs no assets
data_root = ""  # folder of the paper's data sets and weights; empty means data/ of the repository
roots = {}  # single ones that lie elsewhere: {"coco": "/data/coco"}; or ROBNB_COCO and the like in the environment
backbones = []  # architecture.weights to hold against their published accuracy; it needs ImageNet's validation images
corruptions = []  # clean images only
test_images = 1000  # ImageNet images to score, from the first of every class on; None scores all 50,000
workers = 2  # worker processes of the sweep with scheduler local; no result depends on it
scheduler = None  # of the sweep: None (this process) | local (worker processes here) | tcp://host:port (a Dask cluster)
inference = {
    "precision": "float32",
    "channels_last": False,
    "compile": False,
}  # of scoring; precision: float32 | bfloat16 | float16
scales = {"upstream": [256, 224]}  # resize, crop, for files of your own; published ones have their own
upstream = {}  # nothing is trained

# %% [markdown]
# ## What there is
#
# `verified`: as published, or, where no hash is published, as it first came. `present`: there, but not fetched by
# robnb, so nobody has compared it with anything. `incomplete`, `missing` and `damaged` stop a notebook before it
# begins. The size is that of the download; `?` where the publisher does not state it. A data set that you have
# unpacked already is found if `roots` or the environment names its folder. Licences and folders are in `assets.csv`.

# %%
study = Study.from_notebook("00_assets", globals(), others=["needs_of"])
places = Roots(Path(data_root) if data_root else DEFAULT_DATA_ROOT, roots)
needed = needs.notebook_needs(needs_of, REPOSITORY)
found = needs.states(needed, places)
overview = needs.overview(needed, found, places)
folder = products_folder(outputs, profile, "00_assets")
tables.save(overview.assign(profile=profile), folder, "assets")
shown = overview[["asset", "what", "state", "size", "needed_by"]].style.hide(axis="index")
shown.set_properties(**{"text-align": "left"}).set_table_styles([{"selector": "th", "props": "text-align: left"}])

# %% [markdown]
# How to get what is missing; the command shows licences and sizes first, and goes on where it was interrupted:

# %%
Markdown(needs.commands(needed, found, places, needs_of))

# %% [markdown]
# ## Is it what it says it is?
#
# A file can load without an error and still be the wrong one. The accuracy on clean ImageNet images tells: a published
# number that lies within the interval of ours (Wilson, 95 %), widened by 0.3 points for what another resize changes,
# agrees with it. Every model gets the resize, crop and interpolation that it was published with. Name some `backbones`
# to have them scored.

# %%
if backbones:
    models = study.evaluate(study.pretrain())
    accuracies = clean_accuracy(models.scores, study.shelf.clean_scores(backbones))
    tables.save(accuracies.assign(profile=profile), folder, "clean_accuracy")
    display(accuracies.style.hide(axis="index").format(precision=2))
