"""L2 adversarial training: names, fields, and the attack against closed forms and another implementation."""

from collections.abc import Callable

import pytest
import small
import torch
from torch.nn import functional

from robnb.augment import recipe_named
from robnb.augment.adversarial import Adversarial, adversarial_named, cross_entropies, perturbed
from robnb.errors import UserError
from robnb.models.classifier import Classifier


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Budgets and images that teach a nano network something."""
    counts = {**small.COUNTS, "upstream_train": 300, "upstream_val": 30}
    budgets = small.budgets(20, 32, resnet=0.1)
    return small.study(tmp_path_factory.mktemp("outputs"), miniworld=counts, upstream=budgets)


@pytest.fixture(scope="module")
def trained(study) -> Classifier:
    (model,) = study.pretrain()
    return model.load(model.build(), model.path).eval()


@pytest.fixture(scope="module")
def batch(study) -> tuple[torch.Tensor, torch.Tensor]:
    """Test images (24, 3, 64, 64) uint8 and their labels."""
    reader = study.tasks["upstream"].open("test")
    samples = [reader[index] for index in range(24)]
    images = torch.stack([torch.from_numpy(sample.image).permute(2, 0, 1) for sample in samples])
    return images, torch.tensor([sample.target for sample in samples])


def norms(difference: torch.Tensor) -> torch.Tensor:
    return difference.double().flatten(1).norm(dim=1)


class Recorded:
    """A loss that keeps what it was asked."""

    def __init__(self, loss_of: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.loss_of, self.images, self.losses = loss_of, [], []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        losses = self.loss_of(images)
        self.images.append(images.detach().clone())
        self.losses.append(losses.detach())
        return losses


# ---- Names and costs


def test_a_radius_makes_a_name():
    assert recipe_named("l2_eps0.5") == Adversarial(name="l2_eps0.5", eps=0.5)
    assert recipe_named("l2_eps1") == Adversarial()
    assert [recipe_named(f"l2_eps{radius}").eps for radius in ("0", "0.01", "3", "10", "2.25")] == [
        0,
        0.01,
        3,
        10,
        2.25,
    ]
    assert (Adversarial().parent, Adversarial().networks) == ("", ())
    assert adversarial_named("prime") is None


@pytest.mark.parametrize("radius", ["", "-1", "nan", "inf", "1e-1", "0.50", "1.0", "01", ".5", "1.", " 1", "1\n", "²"])
def test_a_malformed_radius_is_an_error_that_says_the_form(radius):
    with pytest.raises(UserError, match=r"names no adversarial training: write l2_eps and the radius.* l2_eps0\.5"):
        recipe_named(f"l2_eps{radius}")


def test_an_unknown_name_still_gives_the_choices():
    with pytest.raises(UserError, match="did you mean 'l2_eps1'"):
        recipe_named("l2eps1")
    with pytest.raises(UserError, match=r"did you mean 'augmix'\? Choose from regular, .*l2_eps1"):
        recipe_named("augmx")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eps": -0.1}, "the radius eps of an adversarial training is -0.1: give 0"),
        ({"eps": float("nan")}, "is nan: give 0"),
        ({"steps": 0}, "an attack of 0 steps goes nowhere: give 1"),
        ({"step_size": 0.0}, "step_size is 0.0: give a length above 0, or None"),
    ],
)
def test_fields_are_checked(fields, message):
    with pytest.raises(UserError, match=message):
        Adversarial(**fields)


def test_the_published_step_is_two_thirds_of_the_radius():
    assert Adversarial(eps=3.0).step == pytest.approx(2.0)
    assert Adversarial(eps=3.0, step_size=0.5).step == 0.5


# ---- The attack alone


def linear(weights: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The cross entropy of a logistic model for the label 0: log(1 + exp(w x))."""
    return lambda images: functional.softplus((images * weights).flatten(1).sum(dim=1))


@pytest.mark.parametrize("use_best", [True, False])
@pytest.mark.parametrize("eps", [0.05, 0.5])
def test_on_a_linear_model_it_finds_the_optimum(eps, use_best):
    """Without a bound in the way the worst image is x + eps w / |w|, for every x."""
    weights = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    images = 0.5 + 0.1 * torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = perturbed(linear(weights), images, eps, steps=3, step_size=2 * eps / 3, use_best=use_best)
    torch.testing.assert_close(found, images + eps * weights / weights.norm(), atol=1e-6, rtol=0)


def test_what_lies_inside_the_ball_is_not_drawn_to_its_surface():
    images, weights = torch.full((2, 3, 8, 8), 0.5), torch.ones(3, 8, 8)
    found = perturbed(linear(weights), images, 0.5, steps=2, step_size=0.1)
    torch.testing.assert_close(found, images + 0.2 * weights / weights.norm(), atol=1e-6, rtol=0)


def test_bounds_hold_back_only_the_values_that_reach_them():
    """Pulled below zero, a black value stays; the others go as far as their share of the step says."""
    weights = -torch.ones(3, 2, 2)
    images = torch.full((1, 3, 2, 2), 0.5)
    images[0, 0] = 0
    found = perturbed(linear(weights), images, 0.1, steps=1, step_size=0.1)
    expected = (images - 0.1 / 12**0.5).clamp(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("eps", [0.01, 0.5, 3.0, 40.0])
@pytest.mark.parametrize("start", ["image", "random"])
def test_it_stays_inside_the_ball_and_the_pixels(trained, batch, eps, start):
    images, labels = batch[0].float() / 255, batch[1]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)) if start == "random" else None
    asked = Recorded(cross_entropies(trained, labels))
    found = perturbed(asked, images, eps, steps=5, step_size=eps / 2, noise=noise)
    for iterate in (found, *asked.images):
        assert iterate.min() >= 0 and iterate.max() <= 1
        assert norms(iterate - images).max() <= eps + 1e-5
    assert (found.dtype, found.requires_grad) == (torch.float32, False)


def test_a_random_start_lies_at_the_radius_where_nothing_is_clamped():
    images, noise = torch.full((5, 3, 8, 8), 0.5), torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    asked = Recorded(linear(torch.ones(3, 8, 8)))
    perturbed(asked, images, 0.2, steps=1, step_size=0.1, noise=noise)
    first = asked.images[0] - images
    torch.testing.assert_close(norms(first), torch.full((5,), 0.2, dtype=torch.float64), atol=1e-6, rtol=0)
    assert torch.allclose(functional.cosine_similarity(first.flatten(1), noise.flatten(1)), torch.ones(5), atol=1e-5)


def test_it_is_worse_than_any_of_many_random_perturbations_of_its_norm(trained, batch):
    images, labels = batch[0].float() / 255, batch[1]
    losses = cross_entropies(trained, labels)
    found = perturbed(losses, images, 0.5, steps=3, step_size=1 / 3)
    lengths = (found - images).flatten(1).norm(dim=1)[:, None, None, None]
    generator = torch.Generator().manual_seed(0)
    gains = []
    with torch.no_grad():
        clean, attacked = losses(images), losses(found)
        for _ in range(10):
            noise = torch.randn(images.shape, generator=generator)
            noise = noise / noise.flatten(1).norm(dim=1)[:, None, None, None]
            by_chance = losses((images + lengths * noise).clamp(0, 1))
            gains.append((by_chance - clean).mean())
            assert (attacked > by_chance).all()
    assert (attacked > clean).all()
    assert (attacked - clean).mean() > 10 * max(gains)


def test_use_best_keeps_the_highest_loss_of_all_iterates(trained, batch):
    """With steps that are far too long, so that the last is mostly not the best."""
    images, labels = batch[0].float() / 255, batch[1]
    asked = Recorded(cross_entropies(trained, labels))
    found = perturbed(asked, images, 4.0, steps=4, step_size=40.0)
    losses = torch.stack(asked.losses)
    assert len(losses) == 5 and len(set(losses.argmax(dim=0).tolist())) > 1
    with torch.no_grad():
        assert torch.equal(cross_entropies(trained, labels)(found), losses.max(dim=0).values)
    last = perturbed(cross_entropies(trained, labels), images, 4.0, steps=4, step_size=40.0, use_best=False)
    assert torch.equal(last, asked.images[-1])


def test_an_image_whose_loss_only_falls_is_kept_as_it_is():
    """The gradient of this loss points to where it is lower, so every step does harm to the attack."""

    def misleading(images: torch.Tensor) -> torch.Tensor:
        total = images.flatten(1).sum(dim=1)
        return total - 2 * total.detach()

    images = torch.full((2, 3, 4, 4), 0.5)
    assert torch.equal(perturbed(misleading, images, 0.1, steps=3, step_size=0.05), images)


def test_radius_zero_asks_nothing():
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(perturbed(lambda _: pytest.fail("it looked"), images, 0.0, steps=3, step_size=0.1), images)


def test_the_same_call_gives_the_same_bytes_and_an_image_does_not_know_its_batch(trained, batch):
    images, labels = batch[0][:8].float() / 255, batch[1][:8]

    def found(rows: slice) -> torch.Tensor:
        return perturbed(cross_entropies(trained, labels[rows]), images[rows], 0.5, steps=3, step_size=1 / 3)

    together = found(slice(None))
    assert torch.equal(together, found(slice(None)))
    for index in range(8):
        alone = found(slice(index, index + 1))
        torch.testing.assert_close(alone, together[index : index + 1], atol=1e-4, rtol=0)


def test_it_works_where_gradients_are_off_and_leaves_them_off(trained, batch):
    images, labels = batch[0][:2].float() / 255, batch[1][:2]
    with torch.no_grad():
        found = perturbed(cross_entropies(trained, labels), images, 0.5, steps=1, step_size=0.5)
        assert not torch.is_grad_enabled()
    assert not torch.equal(found, images)


def test_on_another_device_everything_stays_there():
    """Torch's device without data: an operation with a tensor of the CPU raises, as it would on a GPU."""
    weights, images = torch.empty(3, 8, 8, device="meta"), torch.empty(2, 3, 8, 8, device="meta")
    found = perturbed(linear(weights), images, 0.5, steps=2, step_size=0.3, noise=torch.empty_like(images))
    assert (found.device.type, found.dtype, found.shape) == ("meta", torch.float32, images.shape)


class Logits(torch.nn.Module):
    """A classifier as torchattacks wants it."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.logits(images)


class Smooth(torch.nn.Module):
    """A network without kinks, so that rounding stays rounding over many steps."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(3, 8, 5, 4), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.LazyLinear(10)]
        self.layers = torch.nn.Sequential(*layers)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(4 * images - 2)


@pytest.mark.parametrize("eps", [0.3, 2.0, 10.0])
@pytest.mark.parametrize("network", ["smooth", "trained"])
def test_it_is_torchattacks_pgdl2(trained, batch, eps, network):
    """Its images, where both give the last iterate. It is not among our dependencies: pip install torchattacks."""
    torchattacks = pytest.importorskip("torchattacks")
    images, labels = batch[0][:16].float() / 255, batch[1][:16]
    model = trained if network == "trained" else Smooth()
    with torch.no_grad():
        model.logits(images)
    attack = torchattacks.PGDL2(Logits(model).eval(), eps=eps, alpha=eps / 4, steps=7, random_start=False)
    theirs = attack(images, labels)
    ours = perturbed(cross_entropies(model, labels), images, eps, steps=7, step_size=eps / 4, use_best=False)
    assert norms(theirs - images).min() > 0.5 * eps
    tolerance = {"smooth": 1e-5, "trained": 0.02}[network]  # a gradient turns where a rounding crosses a ReLU's kink
    assert norms(ours - theirs).max() < tolerance * eps
