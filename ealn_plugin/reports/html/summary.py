"""The top of the page, one screen: what was run, its figures, what it gains over EN, and what is missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from ealn_plugin.config import NAMES, parts_of
from ealn_plugin.evaluation.protocols import PROTOCOLS
from ealn_plugin.reports.bounds import TRUTH
from ealn_plugin.reports.html import gains
from ealn_plugin.reports.html.blocks import Figures, Line, Note, Section, Table
from ealn_plugin.runs.folder import primary_protocol, rendered_datasets

_METRICS = (("mAP", "mAP"), ("rank1", "rank 1"), ("rank5", "rank 5"), ("rank10", "rank 10"))
_NAMED = 3


def method_of(run: Any) -> str:
    """What the paper calls the method of a run."""
    return NAMES.get(run.own_config.ealn.scheme, run.own_config.ealn.scheme)


def title_of(runs: Sequence[Any]) -> str:
    """The title of the page, such as 'Hard-EALN and EN on veri776'."""
    methods = list(dict.fromkeys(map(method_of, runs)))
    if len(methods) > _NAMED:
        methods = [f"{len(runs)} runs of {len(methods)} methods"]
    where = list(dict.fromkeys(name for run in runs for name in run.own_config.data.targets))
    return f"{_listed(methods)} on {_listed(where)}"


def subtitle_of(runs: Sequence[Any]) -> str:
    """What else tells the runs of a page from others, in one line."""
    run, config = runs[0], runs[0].own_config
    if len(runs) > 1:
        return f"{len(runs)} runs: {', '.join(run.label for run in runs)}"
    warm = f" ({config.ealn.warmup_epochs} of them warm-up)" if config.ealn.warmup_epochs else ""
    rendered = ", rendered vehicles" if config.ealn.render.preset or rendered_datasets(run.folder) else ""
    return (
        f"{run.label}: {config.model.name}, {config.data.height} x {config.data.width} pixels, "
        f"{config.train.max_epoch} epochs{warm}, seed {config.train.seed}{rendered}"
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def summary(runs: Sequence[Any], measured: Mapping[str, Any]) -> Section:
    """Section: the figures of the primary protocol, beside those of EN.

    Args:
        runs: list of ReportedRun. measured: {label: content of results.json} of what was evaluated just now.
    """
    contents = {run.label: run.results or measured.get(run.label) for run in runs}
    shown = [run for run in runs if contents[run.label]]
    blocks: list[Any] = []
    if len(shown) == 1 == len(runs):
        blocks += _of_one(shown[0], contents[shown[0].label])
    elif shown:
        blocks += _of_several(shown, contents)
    without = [run.label for run in runs if run not in shown]
    if without:
        blocks.append(Note(f"No results yet of {', '.join(without)}; see 'Runs' below.", missing=True))
    return Section("summary", "Summary", blocks, folded=False)


def _primary(content: Mapping[str, Any]) -> tuple[Mapping[str, float], str]:
    """(metrics, sentence on what they are) of the primary protocol."""
    dataset, protocol = primary_protocol(content)
    name = PROTOCOLS[protocol].description if protocol in PROTOCOLS else protocol
    return content["datasets"][dataset][protocol], f"In percent; {dataset}, protocol {protocol}: {name}."


def _of_one(run: Any, content: Any) -> list[Any]:
    metrics, what = _primary(content)
    blocks: list[Any] = [
        Figures(tuple((_percent(metrics[key]), name) for key, name in _METRICS if key in metrics)),
        Note(what),
    ]
    found = gains.references(run) if run.results else {}
    rows = [(method_of(run), content), *((NAMES[scheme], found[scheme]) for scheme in found)]
    before = content.get("untrained", {})
    if before:
        rows.append(("before training", {"primary": content["primary"], "datasets": before}))
    if len(rows) > 1:
        blocks.append(_table(rows, found.get(gains.BASELINE)))
    return blocks + [Note(sentence) for sentence in gain_sentences(run, found)]


def gain_sentences(run: Any, found: Mapping[str, Any]) -> list[str]:
    """What the run gains over EN and how much of the room that is; why it is not known, where EN is missing."""
    if not run.results or not parts_of(run.own_config.ealn.scheme):
        return []
    if gains.BASELINE not in found:
        return [
            "What this gains over EN is not known: there is no run of EN with the same settings beside it "
            "(ealn.beside [en] trains one from the same warm-up)."
        ]
    gained = [gains.gain(run.results, found[gains.BASELINE], key) for key in ("mAP", "rank1")]
    text = (
        f"Above EN with the same settings: mAP {100 * gained[0]:+.1f}, rank 1 {100 * gained[1]:+.1f} points "
        "(one seed: a point is within chance)."
    )
    room = gains.room_sentence(run, found) if run.own_config.ealn.scheme != TRUTH else ""
    return [text, room] if room else [text]


def _of_several(runs: Sequence[Any], contents: Mapping[str, Any]) -> list[Any]:
    primaries = {contents[run.label]["primary"] for run in runs}
    rows, sentences, baselines = [], [], {}
    for run in runs:
        others = [other for other in runs if other is not run and other.results]
        found = gains.references(run, others) if run.results else {}
        rows.append((run.label, contents[run.label]))
        baselines[run.label] = found.get(gains.BASELINE)
        room = gains.room_sentence(run, found) if gains.BASELINE in found else ""
        sentences += [f"{run.label}: {room}"] if room else []
    what = _primary(contents[runs[0].label])[1] if len(primaries) == 1 else "In percent, each in its primary protocol."
    table = _table(rows, None, baselines)
    return [Note(what), table, *map(Note, sentences[:_NAMED])]


def _table(rows: Sequence[tuple[str, Any]], baseline: Any, baselines: Mapping[str, Any] | None = None) -> Table:
    """mAP and rank 1 of some results, and the gain in mAP over EN where that is known."""
    lines = []
    for name, content in rows:
        dataset, protocol = primary_protocol(content)
        metrics = content["datasets"].get(dataset, {}).get(protocol, {})
        reference = baselines.get(name) if baselines else baseline
        above = ""
        if reference is not None and reference is not content and metrics:
            above = f"{100 * gains.gain(content, reference, 'mAP'):+.1f}"
        lines.append(Line((name, *(_percent(metrics.get(key)) for key, _ in _METRICS[:2]), above)))
    known = any(line.cells[-1] for line in lines)
    header = ("", "mAP", "rank 1", "mAP above EN")
    if not known:
        lines, header = [Line(line.cells[:-1]) for line in lines], header[:-1]
    return Table("", header, tuple(lines), names=1)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
