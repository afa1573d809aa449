"""A report as one HTML page that needs nothing else: no font, no image, no script elsewhere."""

from html import escape

from lmos.testing.conversations.outcomes import Checked, Exchange, Outcome, Report, Variant

_WORDS = {"pass": "passed", "partial": "in part", "fail": "failed"}
_STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --ink: #1c2430; --soft: #667085;
  --line: #e3e7ed; --user: #e4ecfb; --pass: #15803d; --partial: #b45309; --fail: #b91c1c;
  --none: #94a3b8; --said: #f1f3f6; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --card: #1a2029; --ink: #e6eaf0;
  --soft: #97a3b4; --line: #2b3440; --user: #22324f; --pass: #4ade80; --partial: #fbbf24;
  --fail: #f87171; --none: #64748b; --said: #232b36; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0; } .about { color: var(--soft); margin: .2rem 0 1.2rem; }
.bar { display: flex; height: .6rem; border-radius: .3rem; overflow: hidden;
  background: var(--line); }
.bar i { display: block; } .bar .pass { background: var(--pass); }
.bar .fail { background: var(--fail); } .bar .partial { background: var(--partial); }
.choose { display: flex; gap: .5rem; flex-wrap: wrap; margin: 1rem 0; }
.choose button { font: inherit; color: inherit; background: var(--card); padding: .25rem .8rem;
  border: 1px solid var(--line); border-radius: 1rem; cursor: pointer; }
.choose button[aria-pressed=true] { border-color: var(--ink); }
details.test { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  margin: .6rem 0; border-left: .3rem solid var(--none); }
details.test.pass { border-left-color: var(--pass); }
details.test.fail { border-left-color: var(--fail); }
details.test.partial { border-left-color: var(--partial); }
summary { cursor: pointer; padding: .7rem 1rem; display: flex; flex-wrap: wrap; gap: .2rem .8rem;
  align-items: baseline;  list-style: none; } summary::-webkit-details-marker { display: none; }
summary .name { font-weight: 600; flex: 1 1 14rem; overflow-wrap: anywhere; }
.mark { min-width: 2.4rem; text-align: right; font-variant-numeric: tabular-nums;
  font-weight: 700; }
.mark.pass, .verdict.pass { color: var(--pass); } .mark.fail, .verdict.fail { color: var(--fail); }
.mark.partial, .verdict.partial { color: var(--partial); } .mark.none { color: var(--none); }
.soft { color: var(--soft); font-size: .87rem; }
.inside { padding: 0 1rem 1rem; } .variant { border-top: 1px solid var(--line); padding-top: .8rem;
  margin-top: .8rem; } .variant h3 { font-size: .9rem; margin: 0 0 .4rem; color: var(--soft);
  font-weight: 600; }
.said, .answer, .error { border-radius: .8rem; padding: .5rem .9rem; margin: .4rem 0;
  max-width: 42rem; width: fit-content; white-space: pre-wrap; overflow-wrap: anywhere; }
.said { background: var(--user); margin-left: auto; } .answer { background: var(--said); }
.error { border: 1px solid var(--fail); color: var(--fail); }
table { border-collapse: collapse; margin: .3rem 0 1rem; width: 100%; font-size: .9rem; }
td:last-child { width: 36%; }
.variant:first-child { border-top: 0; padding-top: 0; margin-top: 0; }
td { padding: .2rem .6rem .2rem 0; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; } td.mark { width: 3rem; padding-right: .8rem; }
code { font: .85em ui-monospace, "DejaVu Sans Mono", monospace; }
@media print { .choose { display: none; } }
"""
_SCRIPT = """
const tests = [...document.querySelectorAll("details.test")];
for (const button of document.querySelectorAll(".choose button"))
  button.onclick = () => {
    for (const other of document.querySelectorAll(".choose button"))
      other.setAttribute("aria-pressed", other === button);
    for (const test of tests)
      test.hidden = button.value && !test.classList.contains(button.value);
  };
"""


def html(report: Report) -> str:
    """The page. Tests that did not pass are open."""
    title = f"{escape(report.agent)} {escape(report.version)}"
    tests = "\n".join(_test(outcome, report) for outcome in report.outcomes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: conversation tests</title><style>{_STYLE}</style></head>
<body><main>
<h1>{title}</h1>
<p class="about">{_about(report)}</p>
{_bar(report)}
{_choose(report)}
{tests}
</main><script>{_SCRIPT}</script></body></html>
"""


def _about(report: Report) -> str:
    judge = f", judged by {report.judge}" if report.judge else ""
    marks = report.thresholds
    not_made = f" · {report.not_made} checks were not made" if report.not_made else ""
    return escape(
        f"{len(report.outcomes)} conversation tests · answered by {report.model}{judge} · "
        f"{report.began:%-d %B %Y, %H:%M} UTC · {report.seconds:.1f} s · "
        f"{marks.passing:.0f} of 100 pass, {marks.partial:.0f} in part{not_made}"
    )


def _bar(report: Report) -> str:
    whole = max(1, len(report.outcomes))
    parts = "".join(
        f'<i class="{verdict}" style="width:{100 * count / whole:.2f}%"></i>'
        for verdict, count in report.counts.items()
    )
    return f'<div class="bar" role="img" aria-label="{_counted(report)}">{parts}</div>'


def _counted(report: Report) -> str:
    return ", ".join(f"{count} {_WORDS[verdict]}" for verdict, count in report.counts.items())


def _choose(report: Report) -> str:
    buttons = [f'<button value="" aria-pressed="true">all {len(report.outcomes)}</button>']
    buttons += [
        f'<button value="{verdict}" aria-pressed="false">{_WORDS[verdict]} {count}</button>'
        for verdict, count in report.counts.items()
        if count
    ]
    return f'<div class="choose">{"".join(buttons)}</div>'


def _test(outcome: Outcome, report: Report) -> str:
    verdict = outcome.verdict
    opened = "" if verdict == "pass" else " open"
    count = len(outcome.variants)
    variants = f"{count} variants · " if count > 1 else ""
    place = f"{outcome.test.file.name}:{outcome.test.line}"
    ordered = sorted(outcome.variants, key=lambda variant: variant.score)
    inside = "".join(_variant(variant, count, report) for variant in ordered)
    return (
        f'<details class="test {verdict}"{opened}><summary>'
        f'<span class="mark {verdict}">{outcome.score:.0f}</span>'
        f'<span class="name">{escape(outcome.test.name)}</span>'
        f'<span class="soft">{variants}{outcome.milliseconds:.0f} ms · {escape(place)}</span>'
        f'<span class="verdict {verdict}">{_WORDS[verdict]}</span></summary>'
        f'<div class="inside">{inside}</div></details>'
    )


def _variant(variant: Variant, count: int, report: Report) -> str:
    heading = ""
    if count > 1:
        way = "as written" if variant.number == 0 else f"variant {variant.number}"
        heading = f"<h3>{way} · {variant.score:.0f} of 100</h3>"
    exchanges = "".join(_exchange(exchange, report) for exchange in variant.exchanges)
    return f'<div class="variant">{heading}{exchanges}</div>'


def _exchange(exchange: Exchange, report: Report) -> str:
    said = f'<div class="said">{escape(exchange.said)}</div>'
    if exchange.error:
        return f'{said}<div class="error">{escape(exchange.error)}</div>'
    notes = [exchange.use_case, *exchange.calls, f"{exchange.milliseconds:.0f} ms"]
    shown = " · ".join(f"<code>{escape(note)}</code>" for note in notes if note)
    rows = "".join(_check(checked, report) for checked in exchange.checks)
    table = f"<table>{rows}</table>" if rows else ""
    return (
        f'{said}<div class="answer">{escape(exchange.answer)}</div>'
        f'<div class="soft">{shown}</div>{table}'
    )


def _check(checked: Checked, report: Report) -> str:
    if checked.score is None:
        verdict, mark = "none", "–"
    else:
        verdict, mark = report.thresholds.verdict(checked.score), f"{checked.score:.0f}"
    found = "" if checked.found.startswith("said: ") else escape(checked.found)
    kind, text = escape(checked.check.kind), escape(_expected(checked))
    return (
        f'<tr><td class="mark {verdict}">{mark}</td><td><b>{kind}</b> {text}</td>'
        f'<td class="soft">{found}</td></tr>'
    )


def _expected(checked: Checked) -> str:
    arguments = ", ".join(f"{k}={v!r}" for k, v in checked.check.arguments.items())
    return f"{checked.check.text}({arguments})" if arguments else checked.check.text
