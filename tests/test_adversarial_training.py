"""Adversarial training: what the attack costs and leaves alone, and what the classifier learns from it."""

from functools import partial

import pytest
import small
import torch
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from robnb import training
from robnb.augment.adversarial import Adversarial
from robnb.augment.recipe import Setting
from robnb.models.architectures import architecture_named
from robnb.models.classifier import Classifier
from robnb.models.execution import Execution

SETTING = Setting(iterations=1, image_size=32)


def fresh(recipe: Adversarial, execution: Execution | None = None) -> Classifier:
    """A nano classifier with random weights, in training, that learns by the recipe."""
    model = training.initialise(partial(Classifier, architecture_named("resnet_nano"), 10), 0).train()
    return model.learn_by(recipe, recipe.augmenter(model, SETTING), execution or Execution())


def some(count: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of noise, uint8 (count, 3, 32, 32), and labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return images, torch.randint(0, 10, (count,), generator=generator)


def norms(difference: torch.Tensor) -> torch.Tensor:
    return difference.double().flatten(1).norm(dim=1)


@pytest.mark.parametrize(
    ("fields", "passes", "looks"),
    [({}, 10 / 3, 4), ({"use_best": False}, 3.0, 3), ({"steps": 7}, 6.0, 8), ({"eps": 0.0}, 1.0, 0)],
)
def test_passes_count_what_the_network_does(fields, passes, looks, monkeypatch):
    """Per image 2 units a gradient (forward, backward to the pixels), 1 a look, 3 for the training itself."""
    recipe = Adversarial(**fields)
    assert recipe.passes == pytest.approx(passes)
    model, asked = fresh(recipe), []
    inherited = model.logits
    monkeypatch.setattr(model, "logits", lambda images: asked.append(torch.is_grad_enabled()) or inherited(images))
    model.augmenter.views(*some())
    assert len(asked) == looks
    assert recipe.passes == pytest.approx((3 + 2 * sum(asked) + (looks - sum(asked))) / 3)


@pytest.mark.parametrize("training_mode", [True, False])
def test_the_attack_leaves_the_classifier_as_it_was(training_mode):
    model = fresh(Adversarial(eps=0.5)).train(training_mode)
    model.head.bias.requires_grad_(False)
    fired = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(fired.append)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [parameter.requires_grad for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    images, labels = some()
    views = model.augmenter.views(images, labels)
    assert (views.shape, views.dtype, views.requires_grad) == ((1, *images.shape), torch.float32, False)
    assert 0.4 < norms(views[0] - images / 255).max() <= 0.5 + 1e-5
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters()) and not fired
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert [module.training for module in model.modules()] == modes


def test_the_mode_is_restored_when_the_attack_fails(monkeypatch):
    model = fresh(Adversarial())
    monkeypatch.setattr(model, "logits", lambda images: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.augmenter.views(*some())
    assert model.training and model.backbone.training


def test_it_attacks_in_eval_mode_and_learns_in_training_mode(monkeypatch):
    model = fresh(Adversarial(eps=0.5))
    inherited, modes = model.logits, []
    monkeypatch.setattr(model, "logits", lambda images: modes.append(model.backbone.training) or inherited(images))
    model(*some(), mode="loss")
    assert modes == [False] * 4 + [True]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_classifier_learns_from_the_adversarial_images_alone(precision):
    """Its loss and gradients are those of plain training on what the attack gives."""
    images, labels = some()
    model = fresh(Adversarial(eps=0.5), Execution(precision))
    adversarial = fresh(Adversarial(eps=0.5), Execution(precision)).augmenter.views(images, labels)[0]
    loss = model(images, labels, mode="loss")["loss"]
    loss.backward()
    plain = fresh(Adversarial(eps=0.0), Execution(precision))
    expected = functional.cross_entropy(plain.logits(adversarial), labels)
    expected.backward()
    assert loss.item() == expected.item()
    for (name, one), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name
        assert one.grad.abs().sum() > 0 or "bias" in name


def test_gradients_flow_under_an_autocast_around_the_whole_step():
    """Its cache of cast weights outlives the attack; weights that were cast without a graph would learn nothing."""
    model = fresh(Adversarial(eps=0.5))
    with torch.autocast("cpu", torch.bfloat16):
        model(*some(), mode="loss")["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_half_precision_does_not_round_the_images():
    images, labels = some()
    with torch.autocast("cpu", torch.bfloat16):
        views = fresh(Adversarial(eps=0.05), Execution("bfloat16")).augmenter.views(images, labels)
    assert views.dtype == torch.float32 and not torch.equal(views, views.bfloat16().float())
    assert norms(views[0] - images / 255).max() <= 0.05 + 1e-5
    untouched = (views[0] - images / 255).abs() < 1 / 512
    assert untouched.float().mean() > 0.9  # a bfloat16 above a half is a multiple of 1 / 256


def test_a_random_start_is_drawn_from_torchs_global_generator():
    recipe, given = Adversarial(eps=0.5, random_start=True), some()

    def found(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return fresh_one.augmenter.views(*given)

    fresh_one = fresh(recipe)
    assert torch.equal(found(0), found(0))
    assert not torch.equal(found(0), found(1))
    assert norms(found(0)[0] - given[0] / 255).max() <= 0.5 + 1e-5


def test_without_one_it_draws_nothing():
    model, state = fresh(Adversarial()), torch.random.get_rng_state()
    model.augmenter.views(*some())
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_control_gives_the_images_themselves(monkeypatch):
    model = fresh(Adversarial(eps=0.0))
    monkeypatch.setattr(model, "logits", lambda images: pytest.fail("it looked"))
    images, labels = some()
    assert torch.equal(model.augmenter.views(images, labels), images[None])


def test_the_hooks_of_a_distributed_training_see_the_learning_alone(tmp_path):
    """One process of one: the gradients are the plain ones, and are given out once."""
    plain = fresh(Adversarial(eps=0.5))
    plain(*some(), mode="loss")["loss"].backward()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        model, given_out = fresh(Adversarial(eps=0.5)), []

        def note(_: None, bucket: torch.distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
            given_out.append(bucket.index())
            future = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        wrapped = DistributedDataParallel(model)
        wrapped.register_comm_hook(None, note)
        loss = wrapped(*some(), mode="loss")["loss"]
        assert not given_out
        loss.backward()
    finally:
        torch.distributed.destroy_process_group()
    assert given_out and len(given_out) == len(set(given_out))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


def test_the_control_trains_the_same_bytes_as_regular(tmp_path):
    study = small.study(tmp_path, backbones=[f"resnet_nano.{name}" for name in ("regular", "l2_eps0", "l2_eps0.5")])
    regular, control, adversarial = (torch.load(model.path) for model in study.pretrain())
    assert list(regular) == list(control)
    assert [name for name in regular if not torch.equal(regular[name], control[name])] == []
    assert any(not torch.equal(regular[name], adversarial[name]) for name in regular)
