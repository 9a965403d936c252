# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 09 Speed
#
# **Question.** A study corrupts every test image 75 times, so its corruptions can cost more than its models. How long
# does each take here, beside the tools that others use, and are they still the same corruptions? How long does a whole
# sweep take, from the files to the scores, beside mmdet's own tool for it, and training on a frozen backbone beside the
# authors' way? What does each way to make a backbone robust upstream cost beside ordinary training? What would half
# precision or compilation bring, there and in the sweep, and what would it do to the scores?
#
# **Reads** a photograph that scikit-image brings along, and the models of another notebook, which are trained here if
# the store does not have them. **Writes** `outputs/<profile>/09_speed/`: speed.csv and speed.md (the corruptions),
# timings.csv (every severity), calibration.csv and calibration.md, sweep.md with race.csv, stages.csv, growth.csv,
# training.csv, recipes.csv, executions.csv and options.csv (the rest), figures. No timing is kept from an earlier run:
# every run measures anew.
#
# **How to read the numbers.** Milliseconds per image, mean over the severities, less is faster. They belong to the
# machine that is named below, and to what else it was doing: on an idle machine they repeat within a few percent.
# Within one run, the ratios between columns depend far less on the machine, because the engines take turns.

# %%
"""How long corruptions, sweeps and training take: ours, the original's and others'."""

from IPython.display import Markdown

from robnb import parameters, plots, runner
from robnb.speed import Benchmark, EndToEnd, figures, report, sweep_report
from robnb.study import Study

# %% tags=["parameters"]
profile = "mini"  # which params these are; stamped on every result: smoke | mini | paper
outputs = ""  # folder for every product; empty means the outputs folder of the repository
sizes = [[224, 224], [480, 640]]  # [height, width] of the images on the CPU; the last one is plotted
severities = [1, 2, 3, 4, 5]  # 1 (mild) to 5 (severe); the tables show their mean
batch = 16  # images in a batch on the CPU
repeats = 5  # timed calls per engine, corruption and severity, at most; the fastest counts
seconds = 0.5  # an engine that has used this much time on one condition is not called again
numba_version = ""  # corruptions.py of imagecorruptions from GitHub, its frost folder beside it; empty leaves it out
gpu_size = [480, 640]  # [height, width] of the images on a GPU
gpu_batch = 64  # images in a batch on a GPU
gpu_repeats = 10  # timed calls per corruption and severity on a GPU; the fastest counts
calibration_size = [128, 160]  # [height, width] of the image of the calibration
calibration_draws = 50  # independent draws per corruption and severity in the calibration
models_of = "01_fixed_feature"  # notebook whose data, settings and store the small models are taken from
models_profile = "mini"  # its profile
backbone = "resnet_mini.regular"  # of the small models: architecture.weights
sweep_images = 40  # test images of the small detector's sweep; half of them are swept too
sweep_corruptions = ["benchmark"]  # of the small detector's sweep
sweep_severities = [1]  # of all sweeps
sweep_rounds = 1  # each engine sweeps so often, in turns; the fastest counts
loader_workers = 2  # loader processes of mmdet's loop; its configs say 2
stage_images = 8  # test images of each sweep that is taken apart
growth_images = 32  # test images of the sweeps that show how the cost grows
growth_processes = [1, 2]  # numbers of worker processes that are tried; may be empty
r50_images = 2  # photographs of Mask R-CNN R50's sweep
r50_size = [480, 640]  # [height, width] of these
r50_scale = [1333, 800]  # [width, height] that they are resized to fit
r50_corruptions = ["gaussian_noise", "zoom_blur"]  # of its sweep
r50_detections = 30  # objects found in each
training_iterations = 12  # training steps of either way to freeze; the first is not counted
recipes_tried = ["regular", "augmix", "ant3x3", "deepaug_augmix", "prime", "l2_eps0", "l2_eps0.5"]  # upstream recipes
recipe_size = 64  # side of the square training crops of the recipes, in pixels
recipe_batch = 16  # images in a training step of the recipes
recipe_steps = 16  # training steps of each recipe, a whole training in small
options_tried = ["bfloat16", "float16", "channels_last", "torch.compile"]  # ways to run a model, beside float32
option_images = 24  # test images that the ways to run a model are tried on
option_corruptions = ["gaussian_noise", "fog"]  # beside the clean images

# %% [markdown]
# Every parameter is checked before anything is measured. The machine, and the versions of what computes on it:

# %%
benchmark, end_to_end = Benchmark.from_notebook("09_speed", globals()), EndToEnd.from_notebook(globals())
Markdown(report.markdown(benchmark.machine))

# %% [markdown]
# ## On the CPU
#
# One process and one thread, for all. The columns:
#
# - **ours** is `robnb.corruptions.corrupt`, image by image, and **ours, batch of n** is `corrupt_batch`.
# - **imagecorruptions** is the package from PyPI as a user has it. Where it raises on today's numpy and scikit-image
#   (fog, glass_blur, gaussian_blur) it is repaired, and nowhere else: it still decodes a picture for every frost and
#   draws one number pair for every pixel of glass_blur.
# - **imagecorruptions, numba** is the version on GitHub, which compiles glass_blur and was never released.
# - **torch-uncertainty** has transforms of the same names on float tensors. Some are other functions than the
#   original's, so its column compares times and not pixels. Converting from and to uint8 is not counted.
#
# For each corruption and severity, every engine is called once untimed, which leaves out compilation, and then the
# engines take turns. The fastest of the timed calls counts: a call can be slowed by what else the machine does, and
# never sped up. Draws differ from call to call; frost's fastest call is the one with the picture that is quickest to
# decode, which favours the original. Calls that take long are repeated less.

# %%
timings = benchmark.cpu()
Markdown(benchmark.left_out)

# %% [markdown]
# The last columns say how many times as long as ours alone another engine takes. The four validation corruptions
# stand below the sum and are not part of it. A sum that lacks a corruption is left empty, and so is a cell where an
# engine failed; why stands below the table.

# %%
Markdown("\n\n".join(report.cpu_section(frame, size) for size, frame in timings.items()))

# %% [markdown]
# The same as a figure, at the last of the sizes. Further left is faster, and each line on the scale is ten times the
# one before it.

# %%
plots.save(plots.speed(list(timings.values())[-1]), benchmark.folder, "speed")

# %% [markdown]
# ## On a GPU
#
# `corrupt_batch` on images that lie on the device, until the device has finished, keys and draws included. What the
# images need at least is to be read and written once. GB/s counts just that, beside what a plain copy of a large
# tensor reaches in the same run: a corruption at the copy's speed could not be faster.

# %%
gpu = benchmark.gpu()
Markdown("\n\n".join([gpu[1], report.markdown(gpu[0])]))

# %% [markdown]
# ## Are they the same corruptions?
#
# Speed is worth nothing if the pixels are others. Two comparisons with the package, for every severity:
#
# - *Given equal draws.* The package corrupts the photograph, what it drew is kept, and our function is given those
#   draws: the share of equal values and of values within 1 grey level, and the largest difference in grey levels.
# - *Over independent draws.* Either engine draws for itself: the mean grey level, and the PSNR against the clean
#   image in dB, each with the standard error of the difference: one draw of frost (five pictures, light and dark) or
#   of fog can be far from the next. Where nothing is drawn, one image is enough.

# %%
calibration = benchmark.calibration()
Markdown(report.calibration_sentence(calibration))

# %%
Markdown(report.markdown(report.calibration_table(calibration)))

# %% [markdown]
# ## A sweep, end to end
#
# What a study waits for is not a corruption but a score: images are decoded, corrupted, resized, inferred and scored
# under every condition. mmdet ships a tool for that, `tools/analysis_tools/test_robustness.py`, which the paper used.
# It goes through the data set once for every condition, image by image. Ours goes through the images once and infers
# an image's conditions together.
#
# The models are those of another notebook: what its run left in the store is used, what is missing is trained now.

# %%
folder = parameters.REPOSITORY
settings = parameters.notebook_parameters(folder / "notebooks" / f"{models_of}.py")
settings |= runner.load_parameters(models_of, models_profile, folder / "params")
settings |= {"profile": models_profile, "outputs": outputs, "backbones": [backbone]}
study = Study(notebook=models_of, **settings)
upstream, *_ = study.pretrain()
detector, *_ = study.transfer([upstream], "fixed_feature", "detection")
segmentor, *_ = study.transfer([upstream], "fixed_feature", "segmentation")

# %% [markdown]
# Two cases: the study's own small detector on its test images, and Mask R-CNN R50 at COCO's scale on photographs. The
# large one has random weights, made so sure of themselves that it finds as many objects as a trained one: only its
# time means anything.
#
# Both engines run on this machine in this process, in turns, with the same model, images and conditions. The peer is
# mmdet's loop as it is: its data set, pipeline, `Corrupt`, batches of one, loader processes, and `CocoMetric` with
# pycocotools. Only what raises in imagecorruptions is repaired, and it gets one thread or all, whichever is faster here
# beside its loader processes. Ours writes its per-image results to disk, as always.
# Building the model and a first image are not counted. The peer sets up its data set and loader for every condition,
# which weighs less the more images there are: hence the last number of each line, where it can be told from noise.

# %%
small, r50 = end_to_end.small(detector, study.tasks["detection"]), end_to_end.r50()
(small_runs, scores), (r50_runs, _) = end_to_end.race(small), end_to_end.race(r50)
Markdown(end_to_end.race_text([small_runs, r50_runs]))

# %% [markdown]
# Are the scores the same? On clean images they have to be. Under corruptions each engine draws for itself, and mmdet
# corrupts BGR images with functions made for RGB, so there they may only be near.

# %%
Markdown(sweep_report.agreement_sentence(scores))

# %% [markdown]
# ## Where the time goes
#
# The same steps one after the other on one thread, without anything working ahead, so that each can be timed.
# *Forward* is the network with non-maximum suppression and the pasting of masks into the image, *encode* turns masks
# into run lengths, *prepare* is the peer's resizing and packing, which ours does within *forward*.

# %%
stages = end_to_end.stages([small, r50])
Markdown(end_to_end.stage_text(stages))

# %%
plots.save(figures.where_time_goes(stages), benchmark.folder, "where_time_goes")

# %% [markdown]
# ## How the cost grows
#
# With the images and with the conditions the cost should grow in proportion, or slower. Worker processes
# (`scheduler: local`) take time to start and to load the model, here counted in, and share this machine's cores: they
# pay on a machine with more cores than one process can use, or on several machines.

# %%
growth = end_to_end.growth(small)
Markdown(end_to_end.growth_text(growth))

# %%
plots.save(figures.growth(growth), benchmark.folder, "growth")

# %% [markdown]
# ## Training on a frozen backbone
#
# The authors freeze a backbone by a learning rate of zero (`lr_mult=0`). Its weights stay, but every iteration
# back-propagates through it for nothing. Ours takes no gradient there. Both train the same model on the same batches
# with the same draws; the backbone is in eval mode both times and no gradient is clipped, or they would differ in more
# than the way of freezing. So the losses have to coincide.

# %%
specs = [study.transfer_spec(upstream, "fixed_feature", task) for task in ("detection", "segmentation")]
training = end_to_end.training(specs, upstream.path, study.tasks)
Markdown(end_to_end.training_text(training))

# %% [markdown]
# ## Training upstream by a recipe
#
# What a recipe costs beside Regular, for the same number of training images. A recipe makes *views* of each image, of
# which the network learns: mixtures, noise, images that the network itself attacks. The *passes* count what that costs
# the network alone, in forward and backward passes, with a backward pass as two forward passes: three views are three
# passes. Counting leaves out the views' own operations, which no pass through the network is.
#
# A step is timed from a batch on the device to the new weights. Loading the batch is not counted. All recipes take
# turns on the same batches, and all of them begin with random weights; so do DeepAugment's helper networks, whose own
# training comes on top, once. Each makes a whole training in small after some steps untimed: what ANT does now and
# then, the training of fresh noise generators, comes at its share. The mean of the steps counts, because what a recipe
# draws makes some steps longer than others.

# %%
classifier, images = study.pretrain_spec(backbone, study.training_seeds[0]), study.tasks["upstream"]
recipes = end_to_end.recipes(classifier, images)
Markdown(end_to_end.recipe_text(recipes))

# %%
plots.save(figures.recipes(recipes), benchmark.folder, "recipes")

# %% [markdown]
# Regular and the slowest recipe again, with the network run in other ways while it learns: in half precision, in
# another memory layout, compiled. These are options of a training (`pretraining`), and part of its key, because they
# change the weights that come out. float16 is left out: it would need a scaled loss. What compiles is not counted.

# %%
executions = end_to_end.executions(classifier, images, recipes)
Markdown(end_to_end.execution_text(executions))

# %% [markdown]
# ## Faster ways to run a model, and what they do to the scores
#
# Lower precision, another memory layout and compilation change the last digits of what a network computes, and with
# them now and then a detection. For each the table shows the largest change of each metric over the conditions, in
# points, against plain float32. None is on by default unless it changes less than 0.05 points. Compilation itself is
# not counted.

# %%
options = end_to_end.options([detector, segmentor, upstream], study.tasks)
Markdown(end_to_end.option_text(options))

# %% [markdown]
# ## Limits
#
# One photograph. For most corruptions the content hardly matters, but jpeg_compression takes longer on busier images.
# One process: a study that corrupts in several at once shares caches and memory between them. The sweeps are short, and
# a small model's time is not a large one's: on a CPU, the network of R50 is nearly all of the cost, so what else is
# faster hardly shows.
#
# The last cell writes the tables and what made them: parameters, machine, versions, time.

# %%
Markdown(report.markdown(benchmark.finish(timings, gpu, calibration, end_to_end)))
