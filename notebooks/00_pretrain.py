# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 Upstream recipes
#
# **Question.** What do the recipes give upstream, before anything is transferred? A robust backbone is only worth
# transferring if it is robust: it should lose less under corruptions than a plain one that was trained for as long.
#
# **The paper** (Yamada & Otani, CVPR 2022) downloads its robust backbones. Here they are made, by the recipes of those
# who published them, so that the study also works where nothing can be downloaded, or for another architecture.
#
# **Reads** the data named by `data` below. **Writes** `outputs/<profile>/00_pretrain/` (tables, figures) and the store
# that all notebooks of a profile share: with training seed 0 these are the very backbones that the notebooks 01 to 06
# transfer, so whatever was trained here is not trained there, and the other way round. A run that was interrupted goes
# on where it was.
#
# **How to read the numbers.** P is the score on clean images, mPC the mean score over corruptions, and
# *drop* = 1 - mPC/P the share that the corruptions take away. Brackets are 95 % intervals that cover both another
# training and other test images: mean of the trainings +- t sqrt(s^2 / n + v), where s is the deviation between the n
# trainings and v the bootstrap variance over the images. With one training in `training_seeds` there is none:
# `robnb run 00_pretrain -p training_seeds "[0, 1, 2]"` makes two more.

# %%
"""Every upstream recipe over several trainings: scores, cost, accuracy under attack, beside plain training."""

from IPython.display import Markdown, display

from robnb import plots, tables
from robnb.evaluation.attacks import under_attack
from robnb.statistics import trainings
from robnb.study import Study
from robnb.widgets import Predictions, explorer

# %% tags=["parameters"]
profile = "mini"  # which params these are; stamped on every result: smoke | mini | lab
outputs = ""  # folder for every product; empty means the outputs folder of the repository
variation = ""  # a name for parameters that differ from the profile's; products then go to <notebook>@<name>
data = "miniworld"  # miniworld (made here); the paper's own backbones are published, see 00_assets
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
    "resnet_mini.regular",
    "resnet_mini.augmix",
    "resnet_mini.ant3x3",
    "resnet_mini.deepaug_augmix",
    "resnet_mini.prime",
    "resnet_mini.l2_eps0",
    "resnet_mini.l2_eps0.1",
    "resnet_mini.l2_eps0.25",
    "resnet_mini.l2_eps0.5",
    "resnet_mini.l2_eps1",
    "swin_mini.regular",
    "swin_mini_small.regular",
    "swin_mini_base.regular",
    "swin_mini_base.regular_larger",
]  # architecture.weights, the weights named by their recipe; l2_eps and the radius of adversarial training
corruptions = ["benchmark"]  # single corruptions, or sets: benchmark (all 15) | noise | blur | weather | digital
severities = [1]  # 1 (mild) to 5 (severe); the paper's protocol is 1
engine = "fast"  # of the corruptions: fast (robnb's own) | reference (the imagecorruptions package)
test_images = None  # images scored per condition, from the first; None scores the whole test split
replicates = 1  # draws of each corruption per image; more give the variance between draws
resamples = 1000  # bootstrap resamples of the test images, for the 95 % intervals
seed = 0  # of miniworld, the corruptions and the bootstrap
training_seeds = [0]  # one pretraining for each; the notebooks 01 to 06 use the first; three give intervals
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
variant = "corrected"  # where the paper's code and text differ: corrected | as_released
switches = {}  # single differences the other way: {"channel_order": "as_released"}; robnb.recipes.SWITCHES lists them
scales = {"upstream": [64, 64]}  # resize, crop
upstream = {
    "resnet": {"iterations": 300, "batch_size": 64, "lr": 0.1},
    "resnet_mini.ant3x3": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.deepaug_augmix": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.prime": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.l2_eps0": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.l2_eps0.1": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.l2_eps0.25": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.l2_eps0.5": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "resnet_mini.l2_eps1": {"iterations": 150, "batch_size": 64, "lr": 0.1},
    "swin": {"iterations": 700, "batch_size": 32, "lr": 0.0005},
    "networks": {"iterations": 400, "batch_size": 16, "lr": 0.005},
}  # pretraining, per family of backbones or for one backbone; networks: DeepAugment's own
attack_radii = [0.0, 0.25, 0.5, 1.0, 2.0, 3.0]  # L2 balls of the attack, over all values of an image in [0, 1]; 0: none
attack_steps = 20  # gradients that an attack follows
attack_images = 100  # test images attacked, from the first; None attacks the whole test split

# %% [markdown]
# Every parameter is checked before anything is computed: a misspelt name, a wrong type or an unknown recipe stops the
# notebook here with one sentence.

# %%
study = Study.from_notebook("00_pretrain", globals(), others=["attack_radii", "attack_steps", "attack_images"])
upstream_data = study.tasks["upstream"]

# %% [markdown]
# ## Training
#
# Every backbone with every training seed, which decides its first weights, the order of its batches and all draws of
# its recipe. Each begins where its authors began: ANT, DeepAugment and PRIME go on from the Regular backbone of the
# same seed, AugMix and L2 training begin with random weights. What a recipe begins with, or needs beside it
# (DeepAugment's networks), is trained on the way.

# %%
backbones_trained = study.pretrain()

# %% [markdown]
# ## What the recipes do to a picture
#
# A training picture, and six draws of each recipe that changes pictures without asking the network that it trains.
# *AugMix* mixes chains of image operations with the picture and asks the network to answer alike. *DeepAugment* (the +
# of DeepAug+ is AugMix) sends two pictures in three through image-to-image networks whose weights and features were
# tampered with. *PRIME* mixes random filters, colour maps and smooth distortions, each at maximum entropy.
#
# The others ask the network, and are not in the figure. *ANT* adds noise that a small network learns to make as harmful
# as it can within a fixed norm. *L2* training shows, in place of each picture, the worst one that three gradient steps
# find within a ball of radius eps around it; with eps 0 it is the same training without an adversary, the control.
#
# No recipe sees a test corruption as such. But some come close: noise to ANT's noise, blur to PRIME's filters.

# %%
specs = [study.pretrain_spec(name, training_seeds[0]) for name in backbones]
networks = {one.network: study.store.folder(one) / "weights.pth" for spec in specs for one in spec.networks}
recipes = [spec.recipe for spec in specs]
picture, side = upstream_data.open("train")[0].image, scales["upstream"][-1]
plots.save(plots.recipe_samples(picture, recipes, side, study.seed, networks), study.folder, "recipe_samples")

# %% [markdown]
# ## The control: Regular, trained for the same compute
#
# A recipe that looks at three views of each picture, or at an attack on it, costs more than plain training. Some of
# what it gives could be had from plain training for longer. So each recipe is compared with Regular of the same
# network, which makes at least as many forward and backward passes: it runs for more iterations of the same schedule.
# Recipes of nearly equal cost share a control. What a recipe began with counts as its own cost. Further down there is a
# second comparison, with Regular of at least as many steps, whatever a step costs.

# %%
longer, compared = study.controls()
controls = compared["passes"]

# %% [markdown]
# What a training costs. A *pass* is one image forward and backward; a backward pass that stops at the pixels counts
# for half of one. The minutes are those of the clock when it was trained, on whatever machine that was and beside
# whatever else it did: they also hold what passes do not, such as image operations on the CPU and DeepAugment's
# networks.

# %%
costs = study.costs()
tables.show(tables.cost_table(costs), study.folder, "costs")

# %% [markdown]
# ## Scores on clean and corrupted test images
#
# All of them on the same images under the same draws of the corruptions. Means are made of a complete grid only.

# %%
scored = study.evaluate([*backbones_trained, *longer])
conditions = [(condition.corruption, condition.severity) for condition in study.conditions]
tables.grid_status(scored.scores, conditions)

# %%
results = study.results([scored])
over = trainings.over_trainings(results)
differences = {
    quantity: trainings.differences_over_trainings(results, controls, quantity) for quantity in ("P", "mPC", "drop")
}

# %% [markdown]
# ## Does it work?
#
# Each recipe, Regular of the same cost below it, and their difference: training seed by training seed and image by
# image, so that what both find hard falls out of it. Its interval is therefore narrower than the two above it suggest.
# Three trainings say little about how much trainings differ, which makes t large: what is told apart here is told
# apart in spite of that.

# %%
tables.show(tables.beside_controls(over, controls, differences), study.folder, "beside_controls")

# %% [markdown]
# The same in sentences, computed from the table. Augmentation recipes are made to lower the drop, and should. Where one
# does not, look at its categories, here and in the figure below: a recipe that helps against one kind of corruption and
# hurts against another can come out even. Look at P too: drop is relative, so a recipe that costs clean accuracy has to
# win more under corruptions to come out ahead.

# %%
adversarial = {model: control for model, control in controls.items() if model[1].startswith("l2_eps")}
augmented = {model: control for model, control in controls.items() if model not in adversarial}
images = int(results.scores["n_images"].max())
Markdown(tables.recipe_sentences(differences, augmented, images))

# %% [markdown]
# ### Where one does not: what it teaches, and what it costs
#
# On a short schedule plain training is far from done: every further step lowers its drop too, so compute that a recipe
# spends on views and attacks is missing elsewhere. With Regular of as many *steps* (of its usual length where a recipe
# takes fewer), whatever a step costs, only what the recipe shows differs. A recipe that lowers the drop here but not
# above teaches robustness at a price that this budget does not pay back. One that does not lower it here either teaches
# nothing that these corruptions ask for.

# %%
as_many = compared["steps"]
step_differences = {
    quantity: trainings.differences_over_trainings(results, as_many, quantity) for quantity in ("P", "mPC", "drop")
}
augmented_as_many = {model: as_many[model] for model in augmented}
Markdown(tables.recipe_sentences(step_differences, augmented_as_many, images, "for at least as many steps"))

# %% [markdown]
# Corruptions that take nothing from Regular leave nothing to win. What each category takes from a recipe, and from
# Regular of at least as many steps:

# %%
figure = plots.drops_beside_controls(over, as_many, "of at least as many steps")
plots.save(figure, study.folder, "drops_for_as_many_steps")

# %% [markdown]
# L2 training is made against an adversary, not against corruptions. What it does to the drop is the subject of notebook
# 04; here is where that begins.

# %%
Markdown(tables.recipe_sentences(differences, adversarial, images))

# %% [markdown]
# ### By category
#
# Each recipe above Regular of the same cost, with the intervals of the table. Whether two differ is told by their
# difference, not by whether the intervals overlap.

# %%
plots.save(plots.drops_beside_controls(over, controls), study.folder, "drops_beside_controls")

# %% [markdown]
# And the paired differences with their intervals, where filled markers are told apart from zero:

# %%
plots.save(plots.differences_by_category(differences["drop"]), study.folder, "differences")

# %% [markdown]
# ### Clean against corrupted
#
# Up is better under corruptions, right is better without. On a dotted line the drop is the same. The Swins, which are
# trained plainly, are here too: what they have comes from architecture, size and data.

# %%
plots.save(plots.clean_against_corrupted(over), study.folder, "clean_against_corrupted")

# %% [markdown]
# ## Under attack
#
# What L2 training is for: an adversary that knows the network moves each picture within a ball, uphill in the loss. The
# test attack takes more and other steps than the one in training, but a still stronger one might exist: the
# accuracies are upper bounds.

# %%
under = [model for model in backbones_trained if model.called == study.baseline or model.called in adversarial]
options = {"steps": attack_steps, "limit": attack_images, "seed": study.seed}
attacked = under_attack(under, upstream_data, study.store, attack_radii, **options)
held = trainings.attacked_over_trainings(attacked)
tables.show(tables.attack_table(held), study.folder, "under_attack")

# %%
plots.save(plots.under_attack(held), study.folder, "under_attack")

# %% [markdown]
# Where Regular is broken, that is, no better than guessing: what do the others keep?

# %%
attack_differences = trainings.attack_differences(attacked, study.baseline)
Markdown(tables.attack_sentences(held, attack_differences, study.baseline, len(upstream_data.classes)))

# %% [markdown]
# ## Another cut through the same numbers
#
# Choose a score, backbones, a category or a single corruption, a severity: figure and table follow.

# %%
explorer(results, [scored], study.seed)

# %% [markdown]
# ## Look at single images
#
# What a model said of an image, clean and corrupted, beside what is annotated: the images that lose most come first.
# Choose models, a corruption, another image. Without a kernel this is a picture of the first choice.

# %%
Predictions([scored])

# %% [markdown]
# ## Limits
#
# What moves the numbers, as standard deviations in percentage points: other test images, and where they were varied,
# another draw of the corruptions (of *one* draw) and another training (of *one* training). The brackets above have the
# first and the last in them; draws of the corruptions are in none.

# %%
tables.show(tables.variance_table(results.variance()), study.folder, "variance")

# %% [markdown]
# Rates, batch sizes and lengths are those of this profile, not the published ones: what a recipe gives after hundreds
# of iterations on small pictures is not what it gives after a hundred epochs of ImageNet. The control gets the same
# passes, not the same minutes. Severity 1 is the paper's protocol and the mildest.
#
# The last cell writes the tables and what made them: parameters, versions, device, time. The overview below has the
# intervals over test images alone, as those of all notebooks.

# %%
for name, frame in {"trainings": over, "costs": costs, "attack": held}.items():
    tables.save(frame.assign(profile=profile), study.folder, name)
overview = tables.with_intervals(study.finish(results, differences["drop"]))
display(tables.show(overview, study.folder, "overview"))
