"""The Python examples in the documents, and the plot that Python draws for them."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = ("README.md", "docs/from-flufl.md", "docs/from-filelock.md", "docs/using.md", "docs/sharing.md", "crates/linklock-py/README.md")
EXAMPLES = [
    pytest.param(code, id=f"{document}-{n}")
    for document in DOCUMENTS
    for n, code in enumerate(re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs_unchanged(code, tmp_path):
    exec(code.replace("/srv/shared", str(tmp_path)), {"__name__": "example"})
    assert list(tmp_path.iterdir()) == []


def test_every_document_that_should_have_an_example_has_one():
    assert {example.id.rpartition("-")[0] for example in EXAMPLES} == set(DOCUMENTS)


def test_the_plot_shows_the_published_figures():
    svg = runpy.run_path(str(ROOT / "benches/plot.py"))["svg"]
    published = (ROOT / "docs/performance.txt").read_text(encoding="utf-8")
    assert (ROOT / "docs/performance.svg").read_text(encoding="utf-8") == svg(published)
