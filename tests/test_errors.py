"""A complaint stays one sentence wherever it is raised."""

import pytest
from torch.utils.data import DataLoader, Dataset

from robnb.errors import UserError


class Broken(Dataset):
    """Cannot read its only image."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise UserError("cannot decode the image a.jpg: delete it and fetch it again.")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_worker_does_not_wrap_the_sentence_in_its_traceback(workers):
    with pytest.raises(UserError) as caught:
        next(iter(DataLoader(Broken(), num_workers=workers)))
    assert str(caught.value) == "cannot decode the image a.jpg: delete it and fetch it again."
