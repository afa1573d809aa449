"""What `lmos eval router` found, as one HTML page that needs nothing else."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --ink: #1c2430; --soft: #667085;
  --line: #e3e7ed; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --ink: #e6eaf0; --soft: #97a3b4;
  --line: #2b3440; } }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; } td { font-variant-numeric: tabular-nums; }
"""
_FIGURES = {
    "rows": "messages",
    "accuracy": "accuracy",
    "weightedF1": "weighted F1",
    "macroF1": "macro F1",
    "outOfScopeAuroc": "out of scope, AUROC",
    "outOfScopeRecall": "out of scope, recall at 90 % precision",
    "ece": "expected calibration error",
    "brier": "Brier score",
    "clarifyShare": "share that was asked back",
    "rightOffered": "of these, share with the right agent offered",
    "multiShare": "share in parts for several agents",
    "failedShare": "share that failed",
    "cost": "cost of the language model, USD",
    "modelShare": "share that asked a language model",
    "p50": "ms, p50",
    "p99": "ms, p99",
    "decisionsPerSecond": "decisions a second",
}


def html(data: dict[str, Any]) -> str:
    """The page of a report's data: the figures, each label, what was confused, the wrong rows."""
    figures = [(word, data[key]) for key, word in _FIGURES.items()]
    measures = ("precision", "recall", "f1", "rows")
    labels = [(k, *(v[m] for m in measures)) for k, v in data["labels"].items()]
    columns = ("text", "expected", "chosen", "confidence", "reason")
    wrong = [[row[column] for column in columns] for row in data["wrong"]]
    parts = [
        _table("Figures", ("figure", "value"), figures),
        _table("Stages", ("decided by", "share"), list(data["stages"].items())),
        _table("Labels", ("label", "precision", "recall", "F1", "messages"), labels),
        _table("Confused", ("expected", "chosen", "messages"), data["confusion"]),
        _table("Wrong", columns, wrong),
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Router evaluation</title><style>{_STYLE}</style></head>
<body><main>
<h1>Router evaluation</h1>
{"".join(parts)}</main></body></html>
"""


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table under its title; nothing where there are no rows."""
    body = "\n".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    if not body:
        return ""
    head = f"<thead><tr>{_cells('th', columns)}</tr></thead>"
    table = f'<div class="scroll"><table>{head}<tbody>\n{body}\n</tbody></table></div>'
    return f"<h2>{escape(title)}</h2>\n{table}\n"


def _cells(tag: str, values: Sequence[Any]) -> str:
    return "".join(
        f"<{tag}>{'-' if value is None else escape(str(value))}</{tag}>" for value in values
    )
