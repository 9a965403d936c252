# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 Does it transfer?
#
# **Question.** Which of the paper's claims hold, as far as the numbers here go?
#
# **The paper** (Yamada & Otani, CVPR 2022) makes some 25 claims that can be checked: in tables, in figures, in its
# text. It prints one number for each model and no interval. Here every claim is taken apart into statements about
# numbers, each is measured with its uncertainty, and the verdict is computed.
#
# **Reads** what the notebooks 01 to 06 of this profile have left in the store, in whatever variations of their
# parameters they were run. Nothing is trained or scored here: what is missing is *not run*. **Writes**
# `outputs/<profile>/07_does_it_transfer/`.
#
# **How to read the verdicts.** A claim *holds* if each of its statements does: its 95 % interval lies on the claimed
# side as a whole. It *does not hold* if one statement is refuted, at a level that allows for how many there are.
# Otherwise it is *undecided*: these images and trainings do not tell. A verdict is about the profile's world. In
# miniworld it says what small networks on digits do, which may differ from ImageNet and COCO in either direction.

# %%
"""The ledger of claims: every checkable claim of the paper, what was measured of it, and the verdict."""

from IPython.display import Markdown, display

from robnb import plots, tables
from robnb.ledger import by_severity, by_variation, counts, ledger, moved, moves, statements
from robnb.ledger.reading import Reading

# %% tags=["parameters"]
profile = "mini"  # whose results are read: smoke | mini | lab | paper
outputs = ""  # folder of every product; empty means the outputs folder of the repository
resamples = 2000  # bootstrap resamples of the test images; verdicts on claims of many statements need the tails
seed = 0  # of the bootstrap
alpha = 0.05  # two-sided level of a verdict; each direction has half of it
margin = 1.0  # percentage points of a score that "similar" and "hardly changes" allow

# %%
reading = Reading.from_notebook("07_does_it_transfer", globals())

# %% [markdown]
# ## What there is
#
# The notebooks whose results are read, with the models that each has scored. A variation is a run with parameters
# other than the profile's.

# %%
tables.in_full(tables.show(reading.found.overview(), reading.folder, "found"))

# %% [markdown]
# ## The ledger
#
# Each claim in our words, with some of the paper's where they matter. *Paper*: what it printed, in the same terms,
# where it prints numbers. *Measured*: the difference with its interval, or how many of several stand how when each is
# tested alone. All are percentage points.

# %%
entries = ledger(reading.entries, reading.rules)
tables.in_full(tables.show(entries, reading.folder, "ledger"))

# %%
Markdown(counts(reading.entries))

# %% [markdown]
# Claims are judged one by one. Each verdict has its own small chance to be wrong (`alpha`); among many claims, one or
# the other may be.
#
# ### Every statement
#
# What the claims are made of. To the right of zero is what the claim says; filled markers are told apart when tested
# alone. The numbers are in `statements.csv`.

# %%
each = statements(reading.entries, reading.rules)
verdicts = entries.set_index("id")["verdict"]
plots.save(plots.statements(each, verdicts), reading.folder, "statements")

# %% [markdown]
# ## Does the order transfer?
#
# The models that were scored upstream and downstream, in one figure. Kendall's tau is 1 where who loses less upstream
# loses less downstream, and -1 where it is the reverse. A model that scores nothing on clean images has no drop, and no
# place here.

# %%
display(Markdown(tables.left_out_sentence(reading.pool.left_out)))
results = reading.pool.results
agreement = results.agreement()
plots.save(plots.agreement(results.summary, agreement), reading.folder, "agreement")

# %%
Markdown(tables.agreement_sentences(agreement))

# %% [markdown]
# ## Which backbones differ?
#
# The overall drop of each model minus that of each other, on the same images. A dot marks pairs whose interval excludes
# zero. By chance alone, one pair in twenty has a dot.

# %%
pairs = reading.pool.pairs()
plots.save(plots.pairs(pairs), reading.folder, "pairs")

# %%
Markdown(tables.pair_sentences(pairs))

# %% [markdown]
# ## What do the drops differ by?
#
# The drop of one model under one corruption, in one training: how much of its variance is the backbone, how much the
# corruption, how much whether the two suit each other? The noise of the test images is in all parts; the black mark in
# the figure shows how much of the total it is. Where it is far to the right, the parts are not to be read closely. A
# model that finds nothing on the clean images either has no drop, and is left out.

# %%
shares = reading.pool.decomposition()
plots.save(plots.variance_shares(shares), reading.folder, "variance_shares")

# %%
tables.show(tables.variance_shares(shares), reading.folder, "variance_shares")

# %% [markdown]
# ## Severity 1, or 1 to 5?
#
# The paper's numbers are of severity 1, the mildest, and ImageNet-C's convention is the mean over five. Does the order
# of the backbones depend on it? For the notebooks that were run with several severities (`robnb run all` does it for
# some, or `robnb run 02_full_network --variation severities -p severities "[1, 2, 3, 4, 5]"`):

# %%
for chapter in reading.found.with_severities:
    alone, order = by_severity(chapter, resamples, seed)
    display(Markdown(f"**{chapter.name}**"))
    display(plots.save(plots.drops_by_severity(alone), reading.folder, f"severities_{chapter.name}"))
    display(Markdown(tables.severity_sentences(order)))
Markdown(f"Notebooks with several severities: {len(reading.found.with_severities)}.")

# %% [markdown]
# ## How far do the discrepancies move the claims?
#
# Where the paper's code does not do what its text says, a switch of robnb takes either side
# (`robnb/recipes/switches.py` says what each one is). For each variation that was run: how many statements of the
# claims about its notebooks change at all, by how much, and whether that matters beside what other test images would
# do. Another training moves a score by chance too: a variation that trains again moves statements even if the
# difference itself does nothing.

# %%
tables.in_full(tables.show(moved(reading.entries, reading.varied), reading.folder, "moved"))

# %% [markdown]
# The verdicts under each of them, beside those with the profile's own parameters. An empty cell: the variation is not
# about that claim. Every statement's move is in `moves.csv`.

# %%
tables.in_full(tables.show(by_variation(reading.entries, reading.varied), reading.folder, "variations"))

# %% [markdown]
# ## Limits
#
# With one training for each model, intervals and verdicts are about these very networks on other images. With several
# (`training_seeds`) the verdicts, statements and pairs cover other trainings too; the order of the drops and the
# comparison of severities do not. Draws of the corruptions are in none. Statements of one claim that share models are
# not independent; the rules do not need that they are.
#
# The last cell writes the tables and what made them.

# %%
frames = {"statements": each, "agreement": agreement, "pairs": pairs, "variance": shares}
frames["moves"] = moves(reading.entries, reading.varied)
reading.finish(frames)
