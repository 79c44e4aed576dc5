"""The HTML page's style sheet: readable, light and dark, tables that scroll on small screens."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --text: #1f2328; --muted: #59636e; --page: #f6f7f9; --card: #ffffff; --line: #d9dee3; --accent: #0072b2;
}
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ec; --muted: #9aa4ae; --page: #0e1013; --card: #171717; --line: #34393f; --accent: #56b4e9; }
  /* Figures are drawn dark on white: inverted, with their hues turned back, they are light on the card's colour. */
  .plot, .swatch { filter: invert(0.91) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
}
main { max-width: 1360px; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 .6rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p, ul { margin: .4rem 0; max-width: 80ch; }
li { margin: .35rem 0; }
ul { padding-left: 1.2rem; }
.verdicts { list-style: none; padding-left: 1.25em; }
.verdicts li { text-indent: -1.25em; overflow-wrap: anywhere; }
.lead { color: var(--muted); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.2rem;
  margin: 1.1rem 0; }
.scroll { overflow-x: auto; margin: 0 -.3rem; padding: 0 .3rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .55rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.numbers { width: 100%; }
.numbers thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; }
.numbers td, .numbers thead th { text-align: right; }
.numbers td { white-space: nowrap; }
.numbers th:first-child { text-align: left; }
.numbers tbody th { font-weight: 600; white-space: nowrap; }
.numbers tbody tr:last-child > * { border-bottom: 0; }
.swatch { display: inline-block; width: .75em; height: .75em; border-radius: 50%; margin-right: .5em;
  border: 1px solid var(--card); outline: 1px solid var(--line); }
.facts th { font-weight: 500; color: var(--muted); min-width: 7.5em; max-width: 22em; }
.facts td { overflow-wrap: anywhere; }
details { margin-top: .8rem; }
summary { cursor: pointer; color: var(--accent); font-size: .95rem; }
.caption { color: var(--muted); font-size: .92rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 0 2rem; }
footer { color: var(--muted); font-size: .85rem; }
"""
