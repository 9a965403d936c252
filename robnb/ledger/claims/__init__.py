"""The paper's claims, in its order; a new one is an entry in one of these files."""

from robnb.ledger.claims import adversarial, definitions, finetuning, size, transfer
from robnb.ledger.claims.claim import Claim

CLAIMS: tuple[Claim, ...] = (
    *transfer.CLAIMS, *size.CLAIMS, *adversarial.CLAIMS, *finetuning.CLAIMS, *definitions.CLAIMS,
)  # fmt: skip

__all__ = ["CLAIMS", "Claim"]
