"""Timings in; tables, sentences and Markdown out. Every number and verdict is computed here, none is typed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from robnb.names import CORRUPTIONS, VALIDATION_CORRUPTIONS
from robnb.speed.engines import NUMBA_VERSION, OURS, PACKAGE

SUM = "sum of the 15"
#: How many times longer than ours the other should take, over the sum of the 15 at `AIM_SIZE`.
AIMS = {PACKAGE: 10.0, NUMBA_VERSION: 4.0}
AIM_SIZE = "480x640"
#: Milliseconds per image on a GPU, the sum of the 15.
DEVICE_AIM = 2.0
#: The columns of `robnb.corruptions.calibration.calibration`, in words.
CALIBRATION_TITLES = {
    "equal": "equal (%)",
    "within_1": "within 1 (%)",
    "largest": "largest difference",
    "mean_fast": "mean, ours",
    "mean_reference": "mean, package",
    "mean_error": "s.e.",
    "psnr_fast": "PSNR, ours",
    "psnr_reference": "PSNR, package",
    "psnr_error": "s.e. ",
}


def table(timings: pd.DataFrame) -> pd.DataFrame:
    """One row per corruption, the sum of the 15 behind them, then the validation corruptions.

    Args:
        timings: of one size, as `robnb.speed.timing.measure` gives them.

    Returns:
        Indexed by corruption; ms per image (mean over severities) for each engine, then how many times as long as
        ours alone each other engine takes. NaN where an engine failed at any severity; a sum that lacks a term is NaN.
    """
    order = timings["engine"].unique()
    mean = timings.groupby(["corruption", "engine"])["ms"].mean(skipna=False).unstack()[order]
    benchmark = mean.reindex(CORRUPTIONS)
    total = benchmark.sum(skipna=False).rename(SUM).to_frame().T
    ms = pd.concat([benchmark, total, mean.reindex(VALIDATION_CORRUPTIONS)]).rename_axis("corruption")
    ratios = {f"{engine} / {OURS}": ms[engine] / ms[OURS] for engine in order if not engine.startswith(OURS)}
    return ms.rename(columns="{} (ms)".format).assign(**ratios)


def device_table(timings: pd.DataFrame, pixels: int, bandwidth: float) -> pd.DataFrame:
    """As `table`, for a device: ms per image, GB/s of images read and written, percent of the copy's.

    Args:
        timings: as `robnb.speed.timing.measure_on` gives them.
        pixels: in an image.
        bandwidth: of a copy on the same device, bytes per second.
    """
    mean = timings.groupby("corruption")["ms"].mean()
    benchmark = mean.reindex(CORRUPTIONS)
    ms = pd.concat([benchmark, pd.Series({SUM: benchmark.sum()}), mean.reindex(VALIDATION_CORRUPTIONS)])
    passes = pd.Series(1, index=ms.index).where(ms.index != SUM, len(CORRUPTIONS))
    rate = passes * 2 * 3 * pixels / (ms / 1000)
    frame = pd.DataFrame({"ms": ms, "GB/s": rate / 1e9, "% of copy": 100 * rate / bandwidth})
    return frame.rename_axis("corruption")


def device_sentence(frame: pd.DataFrame, device: str, bandwidth: float, batch: int, size: Sequence[int]) -> str:
    """What `device_table` says about the aim."""
    total = frame.loc[SUM, "ms"]
    verdict = "reached" if total <= DEVICE_AIM else "missed"
    return (
        f"{device}, batches of {batch} at {size[0]}x{size[1]}: the 15 take **{total:.2f} ms** per image together (aim: "
        f"{DEVICE_AIM:g} ms, {verdict}). A copy within its memory moves {bandwidth / 1e9:.0f} GB/s, read and written."
    )


def verdicts(frame: pd.DataFrame, size: str) -> str:
    """What `table` says about the aims and about single corruptions, as a Markdown list."""
    lines = []
    for other, aim in AIMS.items():
        ratios = frame.get(f"{other} / {OURS}")
        if ratios is None:
            continue
        total, single = ratios[SUM], ratios.drop(SUM)
        if pd.notna(total):
            verdict = f" (aim: {aim:g} times, {'reached' if total >= aim else 'missed'})" if size == AIM_SIZE else ""
            lines.append(
                f"- {size}: for the 15 together, {other} takes **{total:.1f} times** as long as ours alone{verdict}."
            )
        slower = single[single < 1]
        named = ", ".join(f"{name} ({1 / ratio:.2f} times as long)" for name, ratio in slower.items())
        of = f"{len(slower)} of {single.notna().sum()} single corruptions"
        lines.append(f"- {size}: ours is slower than {other} in {of}{f': {named}' if named else ''}.")
    return "\n".join(lines)


def failures(timings: pd.DataFrame) -> str:
    """Why cells are empty, as a Markdown list: one line for each engine and reason."""
    failed = timings[timings["ms"].isna()]
    lines = []
    for (engine, reason), rows in failed.groupby(["engine", "reason"], sort=False):
        names = ", ".join(rows["corruption"].unique())
        lines.append(f"- {engine}, {names}: {reason}")
    return "\n".join(lines) or "No cell is empty: every engine made every corruption."


def calibration_table(frame: pd.DataFrame) -> pd.DataFrame:
    """`robnb.corruptions.calibration.calibration` under readable headings."""
    first = ["corruption", "severity"]
    return frame[[*first, *CALIBRATION_TITLES]].rename(columns=CALIBRATION_TITLES).set_index(first)


def calibration_sentence(frame: pd.DataFrame) -> str:
    """The worst rows of the calibration."""
    least, largest = frame.loc[frame["within_1"].idxmin()], frame.loc[frame["largest"].idxmax()]
    share = f"at least {least['within_1']:.3f} %" if least["within_1"] < 100 else "all"
    where = f" (fewest for {_condition(least)})" if least["within_1"] < 100 else ""
    drawn = frame[frame["mean_error"] > 0]
    apart = {
        what: ((drawn[f"{what}_fast"] - drawn[f"{what}_reference"]) / drawn[f"{what}_error"]).abs()
        for what in ("mean", "psnr")
    }
    return (
        f"Given equal draws, {share} of the values are within 1 grey level{where}, and none is off by more than "
        f"{largest['largest']} ({_condition(largest)}). Over independent draws, {len(drawn)} conditions: the means are "
        f"at most {apart['mean'].max():.1f} standard errors apart, the PSNRs at most {apart['psnr'].max():.1f}; by "
        f"chance alone the largest of that many is beyond 4 in about one of a hundred calibrations."
    )


def markdown(frame: pd.DataFrame) -> str:
    """A Markdown table with its index in front; NaN is an empty cell, and an empty frame no text."""
    if frame.empty:
        return ""
    flat = frame.reset_index()
    texts = [[_text(value) for value in row] for row in flat.itertuples(index=False)]
    right = [pd.api.types.is_numeric_dtype(kind) for kind in flat.dtypes]
    lines = [[str(column) for column in flat], ["---:" if number else "---" for number in right], *texts]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cpu_section(timings: pd.DataFrame, size: str) -> str:
    """A size's table with what it says: Markdown."""
    frame = table(timings)
    return "\n\n".join(
        [f"One thread of the CPU, {size}, ms per image:", markdown(frame), failures(timings), verdicts(frame, size)]
    )


def overview(tables: dict[str, pd.DataFrame], gpu: pd.DataFrame) -> pd.DataFrame:
    """The sum of the 15, a row for each size on the CPU and one for the GPU if it was timed."""
    sums = [{SUM: f"CPU, {size}", **frame.loc[SUM]} for size, frame in tables.items()]
    if len(gpu):
        sums.append({SUM: "GPU, in batches", f"{OURS} (ms)": gpu.loc[SUM, "ms"]})
    return pd.DataFrame(sums)


def _text(value: object) -> str:
    if isinstance(value, float):
        if pd.isna(value):
            return ""
        return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
    return str(value).replace("|", "\\|")


def _condition(row: pd.Series) -> str:
    return f"{row['corruption']} at severity {row['severity']}"
