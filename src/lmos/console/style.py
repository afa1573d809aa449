"""The look of the page: one accent colour, system fonts, light and dark by the system."""

CSS = """
:root {
  --bg: #f6f7f9; --card: #ffffff; --line: #e3e6eb; --text: #1b1f27; --soft: #667085;
  --accent: #0f766e; --accent-soft: #d9f0ed; --good: #15803d; --bad: #b42318; --warn: #b45309;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #12151b; --card: #1a1f27; --line: #2a313c; --text: #e8ebf0; --soft: #98a2b3;
    --accent: #2dd4bf; --accent-soft: #12332f; --good: #4ade80; --bad: #f97066; --warn: #fbbf24;
  }
}
body { --q-primary: var(--accent) !important; }
body, .nicegui-content { background: var(--bg); color: var(--text); padding: 0; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
.lm-page { width: 100%; max-width: 1360px; margin: 0 auto; padding: 20px 24px; display: grid;
  grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 20px; box-sizing: border-box; }
.lm-head { grid-column: 1 / -1; display: flex; align-items: baseline; gap: 12px; }
.lm-head h1 { font-size: 20px; font-weight: 650;
  margin: 0; line-height: 1.2; letter-spacing: -.01em; }
.lm-head span { color: var(--soft); }
.lm-card { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  overflow: hidden; display: flex; flex-direction: column; min-width: 0; }
.lm-chat { height: calc(100vh - 110px); min-height: 420px; }
.lm-side { height: calc(100vh - 110px); min-height: 420px; }
.lm-bar { display: flex; align-items: center; gap: 10px; padding: 10px 16px;
  border-bottom: 1px solid var(--line); }
.lm-bar .q-field { min-width: 180px; } .lm-bar .q-btn { white-space: nowrap; }
.lm-talk { flex: 1; overflow-y: auto; padding: 18px; display: flex;
  flex-direction: column; gap: 14px; }
.lm-user { align-self: flex-end; max-width: 80%; background: var(--accent); color: #fff;
  padding: 8px 14px; border-radius: 16px 16px 4px 16px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .lm-user { color: #06201d; } }
.lm-answer { align-self: flex-start; max-width: 88%; min-width: 40%; }
.lm-who { font-size: 13px; color: var(--soft); display: flex; gap: 8px; align-items: center; }
.lm-who b { color: var(--accent); font-weight: 600; }
.lm-text { white-space: pre-wrap; overflow-wrap: anywhere; }
.lm-error { color: var(--bad); }
.lm-decision { font-size: 13px; color: var(--soft); }
.lm-decision summary { cursor: pointer; width: fit-content; text-decoration: underline dotted;
  text-underline-offset: 3px; list-style: none; }
.lm-decision table { border-collapse: collapse; margin-top: 4px; width: 100%; }
.lm-decision td { padding: 3px 10px 3px 0; vertical-align: top; }
.lm-meter { width: 70px; height: 6px; border-radius: 3px; background: var(--line); overflow: hidden;
  display: inline-block; }
.lm-meter i { display: block; height: 100%; background: var(--accent); }
.lm-say { display: flex; gap: 10px; padding: 12px 16px; border-top: 1px solid var(--line); }
.lm-say .q-field { flex: 1; }
.lm-list { overflow-y: auto; flex: 1; padding: 4px 0; width: 100%; }
.lm-row { padding: 10px 16px; border-bottom: 1px solid var(--line); }
.lm-row:last-child { border-bottom: 0; }
.lm-row summary { cursor: pointer; display: flex; gap: 8px; align-items: baseline;
  flex-wrap: wrap; }
.lm-row b { font-weight: 600; }
.lm-soft { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.lm-good { color: var(--good); } .lm-bad { color: var(--bad); } .lm-warn { color: var(--warn); }
.lm-dot { width: 8px; height: 8px; border-radius: 50%; background: currentColor; flex: none;
  display: inline-block; transform: translateY(-1px); }
.lm-tag { background: var(--accent-soft); color: var(--accent); border-radius: 6px; padding: 0 7px;
  font-size: 12px; white-space: nowrap; }
.lm-empty { color: var(--soft); padding: 28px; text-align: center; margin: auto; max-width: 42ch; }
.lm-card .q-tab__label { text-transform: none; font-weight: 500; }
.lm-card .q-tab-panels, .lm-card .q-tab-panel { background: transparent; color: inherit;
  padding: 0; }
.lm-card .q-tab-panels { flex: 1; min-height: 0; } .lm-card .q-tab-panel { height: 100%;
  display: flex; flex-direction: column; }
.q-tabs { color: var(--soft); } .q-tab--active { color: var(--accent); }
.q-btn.lm-send { background: var(--accent) !important; color: #fff !important;
  border-radius: 10px; }
@media (prefers-color-scheme: dark) { .q-btn.lm-send { color: #06201d !important; } }
@media (max-width: 860px) {
  .lm-page { grid-template-columns: minmax(0, 1fr); padding: 12px; gap: 12px; }
  .lm-chat { height: 72vh; } .lm-side { height: auto; min-height: 300px; max-height: 80vh; }
  .lm-head span { display: none; } .lm-answer, .lm-user { max-width: 94%; }
}
"""
