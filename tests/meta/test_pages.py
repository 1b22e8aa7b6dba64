"""Pages that are made from files are what the files say; the programs in the guides run; links lead somewhere."""

import re

import pytest

from benchmarks import report
from tests.meta import tree
from tools import compat, docs, flow

CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Their programs need the whole of squall; the others need the room they speak of.
NEEDS_FRONTEND = {"README.md", "docs/quickstart.md"}


def test_the_benchmark_page_is_what_the_results_say():
    assert report.PAGE.read_text(encoding="utf-8") == report.page(), "run `python -m benchmarks.report`"


def test_the_figures_in_the_readme_are_what_the_results_say():
    written = report.README.read_text(encoding="utf-8")
    assert written == report.readme(written), "run `python -m benchmarks.report`"


def test_the_compatibility_page_is_what_the_expect_files_say():
    assert compat.PAGE.read_text(encoding="utf-8") == compat.page(), "run `python -m tools.compat`"


def test_the_walk_through_the_rooms_is_what_the_program_shows():
    written = flow.PAGE.read_text(encoding="utf-8")
    assert flow.machine_free(written) == flow.machine_free(flow.page()), "run `python -m tools.flow`"


def test_the_index_names_every_decision():
    folder = tree.ROOT / "docs" / "architecture" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    left_out = [p.name for p in folder.glob("*.md") if p.name != "index.md" and f"]({p.name})" not in index]
    assert not left_out, f"docs/architecture/decisions/index.md does not name {', '.join(left_out)}"


def guides() -> list[str]:
    pages = [tree.ROOT / "README.md", *sorted((tree.ROOT / "docs").rglob("*.md"))]
    return [page.relative_to(tree.ROOT).as_posix() for page in pages if CODE.search(page.read_text("utf-8"))]


@pytest.mark.parametrize("name", guides())
def test_programs_in_the_guides_run(name):
    if name in NEEDS_FRONTEND and "True" not in tree.run_python(
        "import squall; print(hasattr(squall, 'tensor'))"
    ):
        pytest.skip("squall.tensor is not there")
    tree.run_python("\n".join(CODE.findall((tree.ROOT / name).read_text(encoding="utf-8"))))


def test_links_lead_somewhere():
    pages = docs.collect()
    found = docs.broken_links(pages)
    assert not found, tree.report("a link leads to a page of the site or a file of the repository", found)
