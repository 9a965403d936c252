"""The ledger: worlds in which every claim is true, false, open or not to be told; the rules; the store."""

import math

import numpy as np
import pytest
import worlds

from robnb import reference
from robnb.corruptions import conditions
from robnb.errors import UserError
from robnb.ledger import by_variation, counts, ledger, moved, moves, statements
from robnb.ledger.cells import Cell
from robnb.ledger.claims import CLAIMS, size, transfer
from robnb.ledger.claims.claim import FIXED, IN_TRANSFER, compared, transferred, trend
from robnb.ledger.entries import judge_all
from robnb.ledger.found import NOTEBOOKS, Found
from robnb.ledger.pool import Pool
from robnb.ledger.roles import role_of
from robnb.ledger.variations import judge_varied
from robnb.ledger.verdicts import (
    ABOVE,
    BELOW,
    FAILS,
    HOLDS,
    NOT_ABOVE,
    NOT_RUN,
    UNDECIDED,
    WITHIN,
    Outcome,
    Rules,
    Statement,
    judged,
    outcome_of,
)  # fmt: skip
from robnb.names import CLEAN
from robnb.published import CASCADE
from robnb.statistics.measured import Measured
from robnb.tables import ARM

RULES = Rules()
ABOUT_NUMBERS = [claim.id for claim in CLAIMS if claim.check is None]
_REGULAR, _ANT, _DEEPAUG, _SWIN = worlds._FOUR


def as_the_paper_says(notebook, backbone, arm, task, category):
    """Clean score and drop, so that every claim is true."""
    clean, drop = 50.0, 20.0
    frozen = notebook == "01_fixed_feature"
    if notebook in ("01_fixed_feature", "02_full_network"):
        upstream = {_REGULAR: 30, _ANT: 22, _DEEPAUG: 15, _SWIN: 20}
        downstream = {_REGULAR: 30, _ANT: 26, _DEEPAUG: 23, _SWIN: 18}
        kept = {
            "detection": {_REGULAR: 30, _ANT: 22, _DEEPAUG: 14, _SWIN: 9 if category == "weather" else 24},
            "segmentation": {_REGULAR: 30, _ANT: 22, _DEEPAUG: 16, _SWIN: 12},
        }
        cifar = {_REGULAR: 10, _ANT: 14, _DEEPAUG: 14, _SWIN: 13}
        drop = upstream if task == "upstream" else cifar if task == "classification" else downstream
        drop = (kept[task] if frozen and task != "upstream" else drop)[backbone]
        clean = 40.0 if frozen and task != "upstream" else 50.0
    if notebook == "03_model_size":
        drop = {"swin_mini": 30, "swin_mini_small": 25, "swin_mini_base": 28}[backbone.split(".")[0]]
        drop = 20 if backbone.endswith("larger") else drop
    if notebook == "04_adversarial_priors":
        eps = float(backbone.partition("l2_eps")[2])
        clean = 80 - 20 * eps
        drop = 20 + 10 * eps if task == "upstream" else 30 - 10 * eps
    if notebook == "05_finetuning_lr" and arm:
        place = worlds.RATES[task].index(float(arm.removeprefix("lr ")))
        clean, drop = 40 + 10 * place, 20 + 3 * place
    if notebook == "06_prime" and task != "upstream":
        swin = backbone == _SWIN
        clean = (60.0 if swin else 50.0) - (5.0 if arm and task == "detection" else 0.0)
        clean += 0.5 if arm and task == "segmentation" else 0.0
        drop = (12.0 if swin else 20.0) - (4.0 if arm else 0.0)
    return clean, drop


def reversed_world(notebook, backbone, arm, task, category):
    """Clean score and drop around a common value, mirrored: what the paper says is smaller is larger."""
    clean, drop = as_the_paper_says(notebook, backbone, arm, task, category)
    return 100 - clean, 40 - drop


def all_alike(*_):
    return 50.0, 20.0


def verdicts(found, rules=RULES):
    return {entry.claim.id: entry.verdict.verdict for entry in judge_all(found, rules)}


@pytest.fixture(scope="module")
def papers_world():
    return worlds.found(as_the_paper_says)


# Worlds


def test_every_claim_is_there_once():
    assert [claim.id for claim in CLAIMS] == [f"C{number}" for number in range(1, 26)]


def test_in_the_papers_world_every_claim_holds(papers_world):
    assert verdicts(papers_world) == dict.fromkeys((claim.id for claim in CLAIMS), HOLDS)


def test_with_several_trainings_too():
    assert set(verdicts(worlds.found(as_the_paper_says, seeds=(0, 1, 2))).values()) == {HOLDS}


def test_in_the_reversed_world_no_claim_about_numbers_holds():
    found = verdicts(worlds.found(reversed_world))
    assert found.pop("C25") == HOLDS
    # C14 and half of C23 say that something hardly differs, which it does not in a mirror either.
    assert {name for name, verdict in found.items() if verdict != FAILS} == {"C14"}


def test_where_all_are_alike_and_noise_is_large_nothing_is_told():
    found = verdicts(worlds.found(all_alike, error=8.0))
    assert {name for name in ABOUT_NUMBERS if found[name] == HOLDS} == set()
    assert sum(found[name] == UNDECIDED for name in ABOUT_NUMBERS) >= len(ABOUT_NUMBERS) - 2


def test_what_was_not_run_says_how_to_run_it():
    entries = judge_all(worlds.found(as_the_paper_says, notebooks=("01_fixed_feature",)), RULES)
    by_id = {entry.claim.id: entry.verdict for entry in entries}
    assert by_id["C1"].verdict == HOLDS
    for name in ("C5", "C10", "C12", "C16", "C19", "C24"):
        assert by_id[name].verdict == NOT_RUN
        assert "robnb run 0" in by_id[name].why


def test_a_missing_model_leaves_a_claim_unrun_unless_the_rest_refutes_it(papers_world):
    def without(world, gone):
        chapter = world.chapters["01_fixed_feature", ""]
        scores = chapter.results.scores
        kept = ~((scores["weights"] == gone) & (scores["task"] == "segmentation"))
        draws = scores["value"].to_numpy()[:, None] + np.random.default_rng(0).normal(0, 0.2, (len(scores), 1000))
        smaller = worlds.results(scores[kept].reset_index(drop=True), draws[kept])
        return Found("mini", {("01_fixed_feature", ""): type(chapter)(
            chapter.notebook, "", chapter.outlook, (), (), smaller)}, {})  # fmt: skip

    entry = judge_all(without(papers_world, "ant3x3"), RULES, CLAIMS[:1])[0]
    assert entry.verdict.verdict == NOT_RUN
    assert "01_fixed_feature has no ANT on segmentation, fixed_feature" in entry.verdict.why
    refuted = judge_all(without(worlds.found(reversed_world), "ant3x3"), RULES, CLAIMS[:1])[0]
    assert refuted.verdict.verdict == FAILS


def test_a_damaged_definition_is_found(papers_world):
    world = worlds.found(as_the_paper_says, notebooks=("01_fixed_feature",))
    trainings = world.chapters["01_fixed_feature", ""].trainings
    trainings.iloc[3, trainings.columns.get_loc("drop")] += 1e-6
    verdict, _ = CLAIMS[-1].judge(world, RULES)
    assert verdict.verdict == FAILS
    assert verdict.why.startswith("1 of ")


def test_numbers_that_are_undefined_leave_a_claim_undecided():
    world = worlds.found(lambda *_: (0.0, 0.0), error=0.0, notebooks=("01_fixed_feature",))
    entries = judge_all(world, RULES, CLAIMS[:1])
    table = ledger(entries, RULES).iloc[0]
    assert (table["verdict"], table["measured"]) == (UNDECIDED, "undefined; of 16: 16 open")
    assert table["why"].endswith("drop of ANT - Regular: undefined with 100 images")


def test_a_gain_that_freezing_does_not_keep_is_no_gain():
    """Frozen, ANT and DeepAug+ lose 5 points more than Regular; trained, 10 more: the loss shrinks, none is a gain."""

    def lost(notebook, backbone, arm, task, category):
        worse = backbone in (_ANT, _DEEPAUG) and task != "upstream"
        return 50.0, 20.0 + worse * (5 if notebook == "01_fixed_feature" else 10)

    assert verdicts(worlds.found(lost))["C10"] == FAILS


def test_scores_under_other_conditions_are_not_compared(papers_world):
    """C10 is about drops of two notebooks; C11 about their clean scores, which no severity changes."""
    harder = worlds.chapter("02_full_network", as_the_paper_says, 0.1)
    harder.outlook.conditions = conditions(["benchmark"], [1, 2])
    both = Found("mini", {**papers_world.chapters, ("02_full_network", ""): harder}, {})
    found = {entry.claim.id: entry.verdict for entry in judge_all(both, RULES, transfer.CLAIMS)}
    assert (found["C10"].verdict, found["C11"].verdict) == (NOT_RUN, HOLDS)
    assert found["C10"].why.startswith(
        "01_fixed_feature and 02_full_network were not run with the same corruptions and severities"
    )


def test_a_cascade_is_compared_with_cascades_alone():
    """Swin-T's and Small's are, Base's is not; what is about segmentation is judged."""

    def renamed(chapter, *backbones):
        table = chapter.results.scores
        cascades = table["backbone"].isin(backbones) & (table["task"] == "detection")
        table.loc[cascades, "weights"] += ARM + CASCADE
        draws = table["value"].to_numpy()[:, None] + np.random.default_rng(0).normal(0, 0.1, (len(table), 500))
        return type(chapter)(chapter.notebook, "", chapter.outlook, (), (), worlds.results(table, draws))

    sizes = renamed(worlds.chapter("03_model_size", as_the_paper_says, 0.1), "swin_mini", "swin_mini_small")
    entries = {e.claim.id: e for e in judge_all(Found("mini", {("03_model_size", ""): sizes}, {}), RULES, size.CLAIMS)}
    stands = {one.statement.says: one.measured is not None for one in entries["C12"].outcomes}
    assert [says for says, there in stands.items() if not there] == [
        "Detection, box AP: drop of Base\" - Small", "Instance segmentation, mask AP: drop of Base\" - Small",
    ]  # fmt: skip
    assert 'the detector of Small is a Cascade Mask R-CNN, that of Base" none' in entries["C12"].verdict.why
    assert (entries["C12"].verdict.verdict, entries["C15"].verdict.verdict) == (NOT_RUN, HOLDS)


# The rules


def one(p_opposite, p_so, value=1.0):
    """An outcome with these p-values."""
    measured = None if p_opposite is None else Measured(value, np.full(50, value), {0: value}, 60)
    p = (math.nan, math.nan) if p_opposite is None else (p_opposite, p_so)
    return Outcome(Statement("x", (), BELOW), measured, *p, lacking="no such model" if measured is None else "")


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [
        ([(0.025, 0.9)], HOLDS),
        ([(0.026, 0.9)], UNDECIDED),
        ([(0.9, 0.025)], FAILS),
        ([(0.9, 0.026)], UNDECIDED),
        ([(0.02, 0.9), (0.02, 0.9)], HOLDS),
        ([(0.02, 0.9), (0.03, 0.9)], UNDECIDED),
        ([(0.02, 0.9), (0.9, 0.0125)], FAILS),
        ([(0.02, 0.9), (0.9, 0.0126)], UNDECIDED),  # Bonferroni
        ([(math.nan, math.nan)], UNDECIDED),
        ([(0.001, 0.9), (None, None)], NOT_RUN),
        ([(0.9, 0.001), (None, None)], FAILS),
    ],
)
def test_the_rules_by_hand(tests, verdict):
    assert judged([one(*values) for values in tests], RULES).verdict == verdict


def test_each_expectation_tests_its_own_side(papers_world):
    cell = transferred(FIXED, "Regular", ("detection", "box_AP"), "P")

    def p(expected, margin=1.0):
        other = Cell("P", FIXED, "ANT", "detection", "box_AP", "fixed_feature")
        found = outcome_of(Statement("", ((1.0, cell), (-1.0, other)), expected), papers_world, Rules(margin=margin))
        return found.p_opposite <= 0.025, found.p_so <= 0.025

    # The difference is exactly 0, with a standard error of 0.14 points.
    assert p(BELOW) == p(ABOVE) == (False, False)
    assert p(WITHIN) == p(NOT_ABOVE) == (True, False)
    assert p(WITHIN, margin=0.1) == (False, False)
    sixty = Statement("", ((1.0, cell),), WITHIN)
    assert outcome_of(sixty, papers_world, RULES).p_so <= 0.025


def test_what_is_open_is_not_what_stands_the_other_way_alone():
    """The second is refuted alone (0.02), not among three (0.025 / 3); the sentence says so, as the table does."""
    why = judged([one(0.01, 0.9), one(0.9, 0.02), one(0.5, 0.5)], RULES).why
    assert why.startswith("1 of 3 as claimed, 1 the other way if tested alone, the others open; least clear: x")
    assert judged([one(0.01, 0.9), one(0.5, 0.5)], RULES).why.startswith("1 of 2 as claimed, the others open; least")


@pytest.mark.parametrize(("name", "value"), [("alpha", 0), ("alpha", 0.5), ("margin", 0), ("margin", math.inf)])
def test_rules_out_of_range_are_refused(name, value):
    with pytest.raises(UserError, match=f"{name} is {value}"):
        Rules(**{name: value})


@pytest.mark.parametrize("statements_of_it", [1, 8])
def test_false_claims_pass_and_true_ones_fail_as_rarely_as_the_level_says(statements_of_it):
    """3,000 studies where every true difference is 0: neither verdict comes more often than alpha / 2."""
    draw, found = np.random.default_rng(statements_of_it), []
    for _ in range(3000):
        values = draw.standard_normal(statements_of_it)
        draws = values[:, None] + draw.standard_normal((statements_of_it, 400))
        parts = [Measured(v, d, {0: v}, 60) for v, d in zip(values, draws, strict=True)]
        tests = [Outcome(Statement("", (), BELOW), m, m.p_not_below(0), m.p_not_above(0)) for m in parts]
        found.append(judged(tests, RULES).verdict)
    assert found.count(HOLDS) / 3000 <= 0.025 + 0.009
    assert found.count(FAILS) / 3000 <= 0.025 + 0.009
    if statements_of_it == 1:
        assert found.count(HOLDS) / 3000 == pytest.approx(0.025, abs=0.009)


def test_a_trend_is_the_least_squares_slope():
    roles = {0.1: "a", 0.25: "b", 0.5: "c", 1.0: "d"}
    cells = {eps: Cell("P", FIXED, role, "detection", "box_AP", "fixed_feature") for eps, role in roles.items()}
    slope = trend(cells, "radius", BELOW)
    assert slope.says == "Detection, box AP: slope of P from one radius to the next (0.1, 0.25, 0.5, 1)"
    assert [cell.role for _, cell in slope.terms] == ["a", "b", "c", "d"]
    weights = [weight for weight, _ in slope.terms]
    values = np.array([3.0, 5.0, 4.0, 9.0])
    assert np.dot(weights, values) == pytest.approx(np.polyfit(range(4), values, 1)[0])


# All models together


def pool(results):
    return Pool((), results, (), worlds.RESAMPLES, 0)


def test_pairs_of_one_training_are_the_paired_differences(papers_world):
    results = papers_world.chapters["02_full_network", ""].results
    found = pool(results).pairs()
    assert len(found) == 4 * 3 * (1 + 2 + 1 + 1), "ordered pairs of every score"
    keys = ["backbone", "weights", "task", "regime", "metric"]
    for model, of_model in found.groupby("baseline"):
        expected = results.differences(model).query("category == 'all'").set_index(keys)
        of_model = of_model.set_index(keys).reindex(expected.index)
        for column in ("difference", "low", "high"):
            assert of_model[column].to_numpy() == pytest.approx(expected[column].to_numpy(), abs=1e-9)


def test_pairs_of_several_trainings_are_told_apart_as_rarely_as_the_level_says():
    """Models that differ by their trainings alone: over images each pair would be told apart (the error is 0.1)."""
    told = []
    for world in range(12):
        results = worlds.chapter("02_full_network", all_alike, 0.1, seeds=(0, 1, 2)).results
        scores = results.scores.copy()
        noise = np.random.default_rng(world)
        for _, rows in scores.groupby(["backbone", "weights", "task", "metric", "seed"]):
            scores.loc[rows.index[rows["corruption"] != CLEAN], "value"] += noise.normal(0, 4)
        draws = scores["value"].to_numpy()[:, None] + noise.normal(0, 0.1, (len(scores), 200))
        pairs = pool(worlds.results(scores, draws)).pairs()
        told += ((pairs["low"] > 0) | (pairs["high"] < 0)).tolist()
    assert len(told) == 12 * 60 and np.mean(told) < 0.09


# What the paper printed


def test_printed_numbers_are_the_papers():
    drop = transferred(FIXED, "ANT", ("segmentation", "mIoU"), category="weather")
    regular = transferred(FIXED, "Regular", ("segmentation", "mIoU"), category="weather")
    assert compared(drop, regular, BELOW).printed() == pytest.approx(25.62 - 25.68)
    overall = transferred(FIXED, "Swin-T", ("detection", "box_AP")).printed()
    assert overall == pytest.approx((3 * 18.01 + 4 * 38.18 + 4 * 17.90 + 4 * 10.12) / 15)
    mixed = transferred(IN_TRANSFER, "PRIME", ("detection", "box_AP"), "P", arm=worlds.PRIME_ARM)
    assert mixed.printed() == 31.47
    assert transferred(IN_TRANSFER, "Regular", ("detection", "box_AP"), "P").printed() is None


def test_the_papers_own_tables_say_what_its_claims_say(papers_world):
    """All that it prints numbers for, but C3: the claims are read as it means them."""
    table = ledger(judge_all(papers_world, RULES), RULES).set_index("id")["paper"]
    assert table["C1"].endswith("16 of 16 as claimed")
    assert table["C2"].endswith("9 of 9 as claimed")
    assert table["C3"].endswith("6 of 6 as claimed")
    assert table["C21"].endswith("2 of 2 as claimed")
    assert table["C22"].endswith("2 of 2 as claimed")
    assert (table == "no numbers").sum() == 20


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("resnet50.ant3x3", "ANT"), ("resnet_mini.l2_eps0.25", "L2 eps 0.25"), ("resnet50.l2_eps3", "L2 eps 3"),
        ("swin_tiny.in1k", "Swin-T"), ("swin_base.in22k", 'Base"'), ("swin_base_w12.in22k", "Base'"),
        ("swin_mini_base.regular_larger", 'Base"'), ("swin_base.in1k", "Base"), ("resnet18.regular", None),
        ("resnet50.augmix", None), ("swin_mini.regular_larger", None), ("swin_base_w12.in1k", None),
    ],
)  # fmt: skip
def test_roles(name, role):
    assert role_of(*name.split(".", 1)) == role


def test_sizes_of_the_paper_have_roles():
    sizes = reference.model_sizes()
    named = [role_of(b, w) for b, w in zip(sizes["backbone"], sizes["weights"], strict=True)]
    assert named == ["Swin-T", *sizes["model"][1:]]


# Tables


def test_tables_tell_what_was_tested(papers_world):
    entries = judge_all(papers_world, RULES)
    table, each = ledger(entries, RULES), statements(entries, RULES)
    assert list(table["id"]) == [claim.id for claim in CLAIMS]
    row = each[each["id"] == "C7"].iloc[0]
    assert (row["low"] < row["value"] < row["high"], row["alone"]) == (True, HOLDS)
    assert row["value"] == pytest.approx(-2.0, abs=0.5)
    assert table.set_index("id").loc["C7", "measured"] == f"{row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
    notes = {claim.id: claim.note for claim in CLAIMS if claim.note}
    assert all(
        why.endswith(f". {notes[name]}") for name, why in zip(table["id"], table["why"], strict=True) if name in notes
    )
    assert counts(entries) == "**Verdicts on 25 claims:** 25 holds, 0 does not hold, 0 undecided, 0 not run."
    assert each["p_so"].between(0, 1).all()


def test_a_variation_is_judged_on_what_it_changes():
    world = worlds.found(as_the_paper_says)
    varied = worlds.chapter("01_fixed_feature", reversed_world, 0.2)
    both = Found("mini", {**world.chapters, ("01_fixed_feature", "mirror"): varied}, {})
    own, judged = judge_all(both, RULES), judge_varied(both, RULES)
    table = by_variation(own, judged).set_index("id")
    assert set(table.index) == {"C1", "C2", "C3", "C10", "C11"}
    assert set(table["own parameters"]) == {HOLDS}
    assert table.loc[["C1", "C2", "C3"], "mirror"].tolist() == [FAILS] * 3


def test_how_far_a_variation_moves_the_statements():
    """In the other world Swin's drop in frozen segmentation is 5 points larger; nothing else differs."""

    def with_a_worse_swin(notebook, backbone, arm, task, category):
        clean, drop = as_the_paper_says(notebook, backbone, arm, task, category)
        return clean, drop + 5 * (task == "segmentation" and backbone.startswith("swin"))

    world = worlds.found(as_the_paper_says)
    varied = worlds.chapter("01_fixed_feature", with_a_worse_swin, 0.1)
    both = Found("mini", {**world.chapters, ("01_fixed_feature", "worse"): varied}, {})
    own, judged = judge_all(both, RULES), judge_varied(both, RULES)
    each = moves(own, judged)
    assert set(each["variation"]) == {"worse"} and set(each["id"]) == {"C1", "C2", "C3", "C10", "C11"}
    swins = each["statement"].str.contains("Swin") & each["statement"].str.contains("mIoU") & (each["id"] != "C11")
    assert each.loc[swins, "moved"].abs().to_numpy() == pytest.approx(5, abs=0.01)
    assert each.loc[~swins, "moved"].abs().max() < 1e-9, "C11 is about clean scores"
    assert (each["varied"] - each["own"]).to_numpy() == pytest.approx(each["moved"].to_numpy())
    (row,) = moved(own, judged).to_dict("records")
    assert (row["statements"], row["moved"]) == (len(each), swins.sum())
    assert (row["median (points)"], row["largest (points)"]) == ("5.0", "5.0")
    expected = (5 / each.loc[swins, "half_width"]).median()
    assert row["of a half-width"] == f"{expected:.1f}"
    verdicts = by_variation(own, judged).set_index("id")["worse"]
    assert verdicts["C3"] == FAILS and verdicts["C1"] == verdicts["C11"] == HOLDS, "Swin is no longer the best of all"
    assert row["verdicts"] == f"C2: holds, now {verdicts['C2']}; C3: holds, now does not hold"


def test_a_variation_may_have_statements_of_its_own():
    """One more radius than the profile's own: the slope is over other radii, and there is one more comparison."""
    own, varied = (worlds.chapter("04_adversarial_priors", as_the_paper_says, 0.1) for _ in range(2))
    scores = own.results.scores
    kept = (scores["weights"] != "l2_eps0.5").to_numpy()
    draws = scores["value"].to_numpy()[:, None] + np.zeros((1, 500))
    fewer = worlds.results(scores[kept].reset_index(drop=True), draws[kept])
    own = type(own)(own.notebook, "", own.outlook, (), (), fewer)
    absent = dict.fromkeys(NOTEBOOKS, "not run.")
    both = Found("mini", {(own.notebook, ""): own, (own.notebook, "more"): varied}, absent)
    entries, judged_too = judge_all(both, RULES), judge_varied(both, RULES)
    compared_in_both = set(moves(entries, judged_too)["statement"])
    assert "Upstream classification, top-1: P of L2 eps 1 - L2 eps 0.1" in compared_in_both
    assert not [says for says in compared_in_both if "0.5" in says or "slope" in says]
    alone = Found("mini", {(own.notebook, "more"): varied}, absent)
    (row,) = moved(judge_all(alone, RULES), judge_varied(alone, RULES)).to_dict("records")
    assert row["statements"] == 0


def test_a_variation_that_changes_nothing_says_so():
    world = worlds.found(as_the_paper_says)
    same = Found("mini", {**world.chapters, ("01_fixed_feature", "same"): world.chapters["01_fixed_feature", ""]}, {})
    own, judged = judge_all(same, RULES), judge_varied(same, RULES)
    (row,) = moved(own, judged).to_dict("records")
    assert (row["moved"], row["median (points)"], row["verdicts"]) == (0, "", "the same")
    nothing = moved(own, {})
    assert nothing.empty and moves(own, {}).empty and "verdicts" in nothing
