"""A tiny notebook and its params, for the tests of what executes notebooks."""

from pathlib import Path

HEADER = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
"""

PARAMETERS = """\
profile = "mini"  # of params/
outputs = "outputs"  # written to below outputs/profile/name
lr = 0.1  # step size
steps = 2  # passes
"""

WRITES_SUMMARY = """\
folder = Path(outputs) / profile / "01_tiny"
(folder / "figures").mkdir(exist_ok=True)
(folder / "figures" / "drop.png").write_bytes(b"")
(folder / "summary.csv").write_text(f"backbone,P,mPC\\nregular,50.0,{steps}\\n")"""


def make(root: Path, *cells: str, params: str = "lr: 1.0e-2\nsteps: 3\n", name: str = "01_tiny") -> Path:
    """Write notebooks/<name>.py with these code cells after its parameters, and params/smoke/<name>.yaml."""
    head = [f"# %% [markdown]\n# # {name}", "# %%\nimport os, sys, time\nfrom pathlib import Path"]
    body = [f'# %% tags=["parameters"]\n{PARAMETERS}'] + [
        f"# %% [markdown]\n# ## Part\n\n# %%\n{cell}" for cell in cells
    ]
    for folder in ("notebooks", "params/smoke"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "notebooks" / f"{name}.py").write_text("\n\n".join([HEADER, *head, *body]) + "\n")
    (root / "params" / "smoke" / f"{name}.yaml").write_text(params)
    return root
