"""Builds the site: the pages of `docs/` and the reference, as plain HTML that opens without a server.

    python -m tools.docs [--output FOLDER]

A link that leads nowhere is an error, so that pages move together with what they speak of.
"""

import argparse
import html
import os
import re
import shutil
import sys
from pathlib import Path

from tools import compat, reference

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "docs"
SITE = ROOT / "site"
# Pages that live at the root of the repository and belong to the site as well.
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")

LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
body {{ font: 16px/1.55 system-ui, sans-serif; margin: 0; display: flex; color: #1d2530; background: #fff; }}
nav {{ flex: 0 0 15rem; padding: 1.5rem; background: #f4f6f8; min-height: 100vh; box-sizing: border-box; }}
nav a {{ display: block; padding: .15rem 0; text-decoration: none; }}
main {{ flex: 1; max-width: 54rem; padding: 1.5rem 2.5rem; min-width: 0; }}
a {{ color: #0b5cad; }} h3 {{ margin-top: 2.2rem; }}
pre {{ background: #f4f6f8; padding: .8rem 1rem; overflow-x: auto; }} code {{ font: .92em ui-monospace, monospace; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
td, th {{ border: 1px solid #d4dae0; padding: .25rem .6rem; text-align: left; }}
@media (max-width: 50rem) {{ body {{ display: block; }} nav {{ min-height: 0; }} }}
@media (prefers-color-scheme: dark) {{
body {{ color: #dfe5ec; background: #14181d; }} nav, pre {{ background: #1c2229; }} a {{ color: #7db7f0; }}
td, th {{ border-color: #39424d; }} }}
</style></head><body><nav>{navigation}</nav><main>{body}</main></body></html>
"""


def collect() -> dict[str, str]:
    """Every page's Markdown by its path in the site: guides, decisions, the root's pages, the reference."""
    pages = {name: (ROOT / name).read_text(encoding="utf-8") for name in ROOT_PAGES}
    pages = {name: text.replace("](docs/", "](").replace("](../", "](") for name, text in pages.items()}
    for path in sorted(SOURCE.rglob("*.md")):
        pages[path.relative_to(SOURCE).as_posix()] = path.read_text(encoding="utf-8")
    modules = reference.public_modules()
    for name, module in modules.items():
        pages[f"reference/{name}.md"] = reference.page(name, module)
    listing = "\n".join(f"- [{name}]({name}.md)" for name in modules)
    pages["reference/index.md"] = f"# Reference\n\nMade from signatures and docstrings.\n\n{listing}\n"
    return pages


def broken_links(pages: dict[str, str]) -> list[str]:
    """Relative links that lead to no page of the site and to no file of the repository."""
    found = []
    for name, text in pages.items():
        for target, _ in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(name), target))
            exists = path in pages or (SOURCE / path).exists() or (ROOT / path.removeprefix("../")).exists()
            if not exists:
                found.append(f"{name}: {target}")
    return found


def title_of(text: str, name: str) -> str:
    """The first heading."""
    first = next((line for line in text.splitlines() if line.startswith("# ")), name)
    return first.removeprefix("# ").strip()


def navigation(pages: dict[str, str], here: str) -> str:
    """The list of pages beside the text, guides first; one level of the reference."""
    order = ["index.md", "quickstart.md"]
    order += sorted(name for name in pages if name not in order and not name.startswith("reference/"))
    order += sorted(name for name in pages if name.startswith("reference/"))
    start = os.path.dirname(here) or "."
    links = []
    for name in order:
        if name in pages:
            target = os.path.relpath(name, start).removesuffix(".md") + ".html"
            links.append(f'<a href="{target}">{html.escape(title_of(pages[name], name))}</a>')
    return "\n".join(links)


def render(name: str, text: str, pages: dict[str, str]) -> str:
    """One page as HTML."""
    from markdown_it import MarkdownIt

    inner = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    inner = re.sub(r'href="([^":]+)\.md(#[^"]*)?"', r'href="\1.html\2"', inner)
    return TEMPLATE.format(
        title=html.escape(title_of(text, name)), navigation=navigation(pages, name), body=inner
    )


def build(output: Path) -> int:
    """Write the site; 1 when a link is broken."""
    pages = collect()
    broken = broken_links(pages)
    for line in broken:
        print("broken link:", line, file=sys.stderr)
    if output.exists():
        shutil.rmtree(output)
    for name, text in pages.items():
        path = output / (name.removesuffix(".md") + ".html")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(name, text, pages), encoding="utf-8")
    print(f"{len(pages)} pages in {os.path.relpath(output)}; open {os.path.relpath(output / 'index.html')}")
    return 1 if broken else 0


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--output", type=Path, default=SITE)
    choices = parser.parse_args(arguments)
    compat.write_page()
    return build(choices.output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
