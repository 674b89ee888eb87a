"""That faults of the site's pages, which its building warns of, are found."""

import pytest

pytest.importorskip("sphinx")
from docs.checking import Page, faults

GOOD = """
<h1>A page</h1><h2 id="part">Part</h2><h3>Of it</h3><h2>Another</h2>
<a href="#part"></a> <a href="there.html#place"></a> <a href="https://elsewhere.org/#any"></a>
<img src="curve.png" alt="A curve that falls"> <img src="a_thumb.png" alt="">
<table class="autosummary"><tr><td><code>name</code></td><td>What it <em>is</em></td></tr></table>
<table><tr><td>a cell, and one without words</td><td></td></tr></table>
"""
THERE = '<h1>Another page</h1><p id="place"></p>'


def found(text: str) -> list[str]:
    pages = {"folder/page.html": Page(text), "folder/there.html": Page(THERE)}
    return list(faults("folder/page.html", pages))


def test_nothing_is_found_in_a_good_page() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("h1>", "h2>", "has 0 main headings"),
        ("h2>Another", "h1>Another", "has 2 main headings"),
        ('h2 id="part">', 'p id="part">', "goes from a heading of level 1 to one of level 3"),
        ("A curve that falls", " ", "has a picture without words: curve.png"),
        ('id="part"', "", "has a link to a place that is not there: #part"),
        ("#place", "#gone", "has a link to a place that is not there: there.html#gone"),
        ("What it <em>is</em>", " ", "does not describe name"),
    ],
)
def test_a_fault_is_found(good: str, bad: str, fault: str) -> None:
    assert good in GOOD
    assert found(GOOD.replace(good, bad)) == [fault]
