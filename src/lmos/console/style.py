"""The look of the page: one accent colour, system fonts, light and dark by the system."""

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="8" fill="#0f766e"/>'
    '<path d="M8 9h16v11H15l-5 4v-4H8z" fill="#fff"/></svg>'
)

CSS = """
:root {
  --bg: #f6f7f9; --card: #ffffff; --line: #e3e6eb; --text: #1b1f27; --soft: #5f697b;
  --accent: #0f766e; --accent-soft: #e0f2ef; --on-accent: #ffffff;
  --good: #15803d; --bad: #b42318; --warn: #a8510a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #12151b; --card: #1a1f27; --line: #2a313c; --text: #e8ebf0; --soft: #98a2b3;
    --accent: #2dd4bf; --accent-soft: #17332f; --on-accent: #06201d;
    --good: #4ade80; --bad: #f97066; --warn: #fbbf24;
  }
}
body { --q-primary: var(--accent) !important; }
body, .nicegui-content { background: var(--bg); color: var(--text); padding: 0; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.lm-page { width: 100%; max-width: 1360px; margin: 0 auto; padding: 20px 24px; display: grid;
  grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 20px; box-sizing: border-box; }
.lm-soft, .lm-warn, .lm-missing { font-size: 13px; overflow-wrap: anywhere; }
.lm-soft { color: var(--soft); }
.lm-good { color: var(--good); } .lm-bad { color: var(--bad); }
.lm-warn, .lm-missing { color: var(--warn); }
.lm-dot { width: 8px; height: 8px; border-radius: 50%; background: currentColor; flex: none;
  display: inline-block; transform: translateY(-1px); margin-right: 8px; }
.lm-tag { background: var(--accent-soft); color: var(--accent); border-radius: 6px;
  padding: 1px 7px; font-size: 12px; white-space: nowrap; }
.lm-empty { color: var(--soft); padding: 28px; text-align: center; margin: auto; max-width: 42ch; }

.lm-head { grid-column: 1 / -1; display: flex; align-items: baseline; gap: 4px 20px;
  flex-wrap: wrap; justify-content: space-between; padding: 0 2px; }
.lm-head h1 { font-size: 20px; font-weight: 650;
  margin: 0; line-height: 1.2; letter-spacing: -.01em; }
.lm-state { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13px; }
.lm-state .lm-dot + * { color: var(--soft); } .lm-state > span { white-space: nowrap; }

.lm-card { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  overflow: hidden; display: flex; flex-direction: column; min-width: 0; }
.lm-chat, .lm-side { height: calc(100vh - 110px); min-height: 420px; }
.lm-bar { display: flex; align-items: center; gap: 10px; padding: 10px 16px;
  border-bottom: 1px solid var(--line); }
.lm-bar .q-field { min-width: 180px; } .lm-bar .q-btn { white-space: nowrap; }

/* Turned round, the end stays in view while it grows, and a reader higher up is left alone. */
.lm-scroll { flex: 1; overflow-y: auto; display: flex; flex-direction: column-reverse; }
.lm-talk { margin-bottom: auto; padding: 18px; display: flex; flex-direction: column; gap: 16px; }
.lm-talk:has(> .lm-empty:not(.hidden)) { margin: auto; }
.lm-user { align-self: flex-end; max-width: 80%; background: var(--accent-soft);
  color: var(--text); padding: 8px 14px; border-radius: 16px 16px 4px 16px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.lm-answer { align-self: flex-start; max-width: 88%; min-width: 40%; }
.lm-who { font-size: 13px; color: var(--soft); display: flex; gap: 8px; align-items: baseline; }
.lm-who b { color: var(--accent); font-weight: 600; } .lm-who b:empty { display: none; }
.lm-text { white-space: pre-wrap; overflow-wrap: anywhere; }
.lm-error { color: var(--bad); overflow-wrap: anywhere; } .lm-error:empty { display: none; }

.lm-decision { font-size: 13px; color: var(--soft); margin-top: 2px; }
.lm-decision summary { cursor: pointer; width: fit-content; text-decoration: underline dotted;
  text-underline-offset: 3px; list-style: none; }
.lm-decision[open] { background: var(--bg); border: 1px solid var(--line); border-radius: 10px;
  padding: 8px 12px 10px; margin-top: 6px; }
.lm-decision table { border-collapse: collapse; margin: 8px 0; width: 100%; }
.lm-decision th { font-weight: 500; text-align: left; border-bottom: 1px solid var(--line); }
.lm-decision th, .lm-decision td { padding: 3px 12px 3px 0; vertical-align: top; }
.lm-decision td:first-child { color: var(--text); }
.lm-decision td:first-child, .lm-share { white-space: nowrap; }
.lm-meter { width: 56px; height: 6px; border-radius: 3px; background: var(--line); overflow: hidden;
  display: inline-block; margin-right: 8px; vertical-align: middle; }
.lm-meter i { display: block; height: 100%; background: var(--accent); }

.lm-say { display: flex; gap: 10px; padding: 12px 16px; border-top: 1px solid var(--line); }
.lm-say .q-field { flex: 1; } .lm-say .q-btn { border-radius: 10px; min-width: 72px; }
.q-btn.lm-send { background: var(--accent); color: var(--on-accent); }

.lm-card .q-tab__label { text-transform: none; font-weight: 500; }
.lm-card .q-tabs { border-bottom: 1px solid var(--line); color: var(--soft); }
.q-tab--active { color: var(--accent); } .lm-card .q-tab { min-height: 44px; }
.lm-card .q-tab-panels, .lm-card .q-tab-panel { background: transparent; color: inherit;
  padding: 0; }
.lm-card .q-tab-panels { flex: 1; min-height: 0; }
.lm-card .q-tab-panel { height: 100%; display: flex; flex-direction: column; }
.lm-list { overflow-y: auto; flex: 1; width: 100%; display: flex; flex-direction: column; }
.lm-row { padding: 10px 16px; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.lm-row b { font-weight: 600; }
.lm-row summary { cursor: pointer; display: flex; gap: 2px 8px; align-items: baseline;
  flex-wrap: wrap; list-style: none; position: relative; padding-right: 20px; }
.lm-row summary::-webkit-details-marker { display: none; }
.lm-row summary::after { content: ""; position: absolute; right: 2px; top: 7px; width: 6px;
  height: 6px; border: solid var(--soft); border-width: 0 1.5px 1.5px 0; transform: rotate(45deg); }
.lm-row[open] summary::after { transform: translateY(3px) rotate(225deg); }
.lm-row summary .lm-dot { margin-right: 0; }
.lm-missing { flex-basis: 100%; padding-left: 16px; } .lm-missing:empty { display: none; }
.lm-row[open] .lm-missing { display: none; }
.lm-more { padding: 4px 0 4px 16px; }
.lm-tags { display: flex; flex-wrap: wrap; gap: 5px; margin: 7px 0; }
.lm-more ul { list-style: none; margin: 6px 0 0; padding: 0; display: grid; gap: 7px; }
.lm-more li { font-size: 14px; line-height: 1.4; }
.lm-more li .lm-dot ~ div { padding-left: 16px; }
.lm-when { display: flex; gap: 8px; font-size: 13px; color: var(--soft); }

@media (max-width: 860px) {
  .lm-page { grid-template-columns: minmax(0, 1fr); padding: 14px 12px; gap: 12px; }
  .lm-chat { height: 72vh; } .lm-side { height: auto; min-height: 300px; max-height: 80vh; }
  .lm-answer, .lm-user { max-width: 94%; }
  .lm-decision thead { display: none; }
  .lm-decision tr { display: grid; grid-template-columns: 1fr auto; margin-bottom: 6px; }
  .lm-decision td { padding: 0; } .lm-decision td:first-child { white-space: normal; }
  .lm-decision td:nth-child(n+3) { grid-column: 1 / -1; }
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
"""
