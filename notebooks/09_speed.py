# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 09 Speed
#
# **Question.** A study corrupts every test image 75 times, so its corruptions can cost more than its models. How long
# does each take here, beside the tools that others use, and are they still the same corruptions?
#
# **Reads** nothing but a photograph that scikit-image brings along. **Writes** `outputs/<profile>/09_speed/`:
# speed.csv and speed.md (the tables below), timings.csv (every severity), calibration.csv and calibration.md, figures.
# Nothing is kept from an earlier run: every run measures anew.
#
# **How to read the numbers.** Milliseconds per image, mean over the severities, less is faster. They belong to the
# machine that is named below, and to what else it was doing: on an idle machine they repeat within a few percent.
# Within one run, the ratios between columns depend far less on the machine, because the engines take turns.

# %%
"""Milliseconds per image of every corruption: ours, the original's and others'."""

from IPython.display import Markdown

from robnb import plots
from robnb.speed import Benchmark, report

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

# %% [markdown]
# Every parameter is checked before anything is measured. The machine, and the versions of what computes on it:

# %%
benchmark = Benchmark.from_notebook("09_speed", globals())
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
# ## Limits
#
# One photograph. For most corruptions the content hardly matters, but jpeg_compression takes longer on busier images.
# One process: a study that corrupts in several at once shares caches and memory between them.
#
# The last cell writes the tables and what made them: parameters, machine, versions, time.

# %%
Markdown(report.markdown(benchmark.finish(timings, gpu, calibration)))
