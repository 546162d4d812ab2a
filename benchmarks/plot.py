"""Draws `results.png` from `results.json`. Runs in the environment of the compared services, which has Matplotlib."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

FOLDER = Path(__file__).resolve().parent
OURS, THEIRS, INK = "#0f766e", "#b6bec9", "#1f2933"
FADED = "#7fb5b0"
DPI = 120

Bar = tuple[str, Sequence[float]]


def main() -> None:
    kept = json.loads((FOLDER / "results.json").read_text())
    parts = {name: found["result"] for name, found in kept["parts"].items()}
    dates = sorted({found["date"] for found in kept["parts"].values()})
    mpl.rcParams |= {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.edgecolor": "#d5dae1",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
    }
    panels: list[tuple[str, Callable[[Axes, dict[str, Any]], None]]] = [
        ("me", _rates),
        ("me", _cpu),
        ("storm", _reads_beside_storm),
        ("storm", _answers_in_storm),
        ("login", _logins),
        ("crowd", _crowd),
        ("scale", _scale),
        ("footprint", _memory),
        ("equal_time", _equal_time),
    ]
    figure, axes = plt.subplots(3, 3, figsize=(15, 9.5), facecolor="white")
    for (part, draw), axis in zip(panels, axes.flat, strict=True):
        if part in parts:
            draw(axis, parts[part])
        else:
            axis.set_axis_off()
            axis.text(0.5, 0.5, f"{part}: not measured", ha="center", transform=axis.transAxes)
    figure.suptitle("Pixora beside its peers", x=0.012, y=0.983, ha="left", fontsize=15, fontweight="bold")
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    caption = f"Medians, with the minimum and maximum of the rounds. {kept['machine']}; {when}. Made by benchmarks/run."
    figure.text(0.012, 0.94, caption, fontsize=9.5, color="#52606d")
    figure.tight_layout(rect=(0.003, 0.005, 0.995, 0.925), h_pad=2.2, w_pad=2.2)
    figure.savefig(FOLDER / "results.png", dpi=DPI, metadata={"Software": None})


def _bars(
    axis: Axes,
    bars: Sequence[Bar],
    title: str,
    unit: str,
    write: Callable[[float], str],
) -> None:
    """Draw horizontal bars from the top, Pixora's in colour, each with its median and spread."""
    alone = not any(name.startswith("Pixora") for name, _ in bars)
    for place, (name, values) in enumerate(bars):
        middle = median(values)
        ours = name.startswith("Pixora") or alone
        colour = (FADED if "unseen" in name else OURS) if ours else THEIRS
        axis.barh(place, middle, color=colour, height=0.66)
        if len(values) > 1:
            reach = [[middle - min(values)], [max(values) - middle]]
            axis.errorbar(middle, place, xerr=reach, color=INK, linewidth=1, capsize=2.5)
        axis.annotate(
            write(middle),
            (max(values), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"},
        )
    most = max(max(values) for _, values in bars)
    axis.set_xlim(0, most * 1.2 or 1)
    axis.set_yticks(range(len(bars)), [name for name, _ in bars])
    axis.invert_yaxis()
    axis.set_title(title, pad=8)
    axis.set_xlabel(unit, fontsize=8.5)
    axis.tick_params(length=0)
    axis.grid(axis="x", color="#eceff3", zorder=0)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _services(result: dict[str, Any], key: str) -> list[Bar]:
    return [(_label(name), found[key]) for name, found in result.items()]


def _label(name: str) -> str:
    return name.replace(", tokens it has not seen", ",\nunseen tokens").replace(" + Beanie", "\n+ Beanie")


def _without_hello(result: dict[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in result.items() if not name.startswith("hello")}


def _rates(axis: Axes, result: dict[str, Any]) -> None:
    bars = _services(_without_hello(result), "rate")
    _bars(axis, bars, "GET /me on one core", "requests a second", "{:,.0f}".format)


def _cpu(axis: Axes, result: dict[str, Any]) -> None:
    bars = [(name, [value * 1e6 for value in values]) for name, values in _services(result, "cpu")]
    _bars(
        axis,
        bars,
        "CPU of a GET /me, and of a hello",
        "µs of the server's CPU a request",
        "{:,.0f}".format,
    )


def _reads_beside_storm(axis: Axes, result: dict[str, Any]) -> None:
    bars = [
        (_label(name), [beside / alone for beside, alone in zip(found["beside"], found["alone"], strict=True)])
        for name, found in result.items()
    ]
    _bars(axis, bars, "GET /me while 64 clients log in", "of its undisturbed rate", "{:.2f}".format)


def _answers_in_storm(axis: Axes, result: dict[str, Any]) -> None:
    bars = [
        (_label(name), [max(pair) for pair in zip(found["longest"], found["longest_beside"], strict=True)])
        for name, found in result.items()
    ]
    _bars(axis, bars, "Longest answer to one of these 64 clients", "seconds", "{:.1f}".format)


def _logins(axis: Axes, result: dict[str, Any]) -> None:
    ceiling = median(result["bcrypt alone"]["rate"])
    bars = [(name, [rate / ceiling for rate in rates]) for name, rates in _services(result, "rate")]
    _bars(axis, bars, "Logins by 8 clients, cost 12", "of what bcrypt alone does on all cores", "{:.2f}".format)


def _crowd(axis: Axes, result: dict[str, Any]) -> None:
    bars = [("GET /me,\nundisturbed", result["alone"]), ("GET /me,\nbeside them", result["beside"])]
    title = "500 clients log in through nginx"
    _bars(axis, bars, title, "reads a second by another client", "{:,.0f}".format)


def _scale(axis: Axes, result: dict[str, Any]) -> None:
    bars = [
        (f"{name}, {_short(number)}", [latencies[what] * 1000])
        for what, name in (("me", "GET /me"), ("login", "login, cost 4"))
        for number, latencies in result.items()
    ]
    _bars(axis, bars, "With a thousand and a million users", "median, ms", "{:.2f}".format)


def _short(number: str) -> str:
    return {"1000": "1 k", "1000000": "1 M"}.get(number, number)


def _memory(axis: Axes, result: dict[str, Any]) -> None:
    bars = [
        (name, [size / 1e6 for size in found["pss"]])
        for name, found in ((_label(name), found) for name, found in result.items())
    ]
    starts = {_label(name): median(found["start"]) for name, found in result.items()}
    _bars(axis, bars, "Memory of one worker, and start", "MB (PSS, its master included)", "{:.0f}".format)
    for place, (name, values) in enumerate(bars):
        axis.annotate(
            f"up in {starts[name]:.1f} s",
            (max(values), place),
            xytext=(32, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color="#52606d",
        )
    axis.set_xlim(0, max(max(values) for _, values in bars) * 1.5)


def _equal_time(axis: Axes, result: dict[str, Any]) -> None:
    first = next(iter(result.values()))
    unknown = first["unknown"]["seconds"]
    bars = [(name, [found["seconds"] / unknown]) for name, found in first.items()]
    _bars(axis, bars, "A refused login, by reason", "time, of that for an unknown user", "{:.2f}".format)


if __name__ == "__main__":
    main()
