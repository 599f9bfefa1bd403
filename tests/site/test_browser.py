"""The site in a real browser: what a reader does there works, nothing leaves the site, and anyone can read it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from urllib.parse import quote

import pytest
from support import docs

from .conftest import SCREENSHOTS, Built
from .visit import DESKTOP, PHONE, Watched, clipboard, faults_of, search

PAGES = [
    "",
    "migration/",
    "does-my-release-care/",
    "path/",
    "symptoms/",
    "howto/handshake/",
    "howto/platforms/",
    "howto/rewrite-configs/",
    "howto/many-repositories/",
    "playground/",
    "first-tree/",
    "howto/air-gapped/",
    "howto/write-a-topic/",
    "compatibility/",
    "patches/",
    "patches/connector-warning/",
    "patches/connector-warning/0.20.0/",
    "patches/stragglers/0.33.0/",
    "reference/tools/",
    "reference/exit-codes/",
    "reference/codes/",
    "reference/data/",
    "reference/claims/",
    "explanation/design/",
    "explanation/states/",
    "explanation/request-flow/",
    "explanation/threat-model/",
    "explanation/measured/",
    "kvr/KVR113/",
    "changelog/",
]

DRAWN = ["explanation/design/", "explanation/states/", "explanation/request-flow/", "explanation/threat-model/"]


def _name(path: str) -> str:
    return path.strip("/").replace("/", "-") or "home"


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_a_page_is_sound(path: str, reader: Callable[..., Watched]) -> None:
    """No console error and no request elsewhere; no fault for axe, light and dark; it fits a phone."""
    page = reader(color_scheme="light", reduced_motion="reduce").open(path)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    faults = {}
    for scheme, name in (("light", "default"), ("dark", "slate")):
        if scheme == "dark":
            page.get_by_title("Switch to dark mode").click()
        page.locator(f"body[data-md-color-scheme={name}]").wait_for()
        page.screenshot(path=str(SCREENSHOTS / f"{_name(path)}-{scheme}.png"))
        faults[scheme] = faults_of(page)
    page.get_by_title("Switch to light mode").click()
    page.set_viewport_size(PHONE)
    page.locator(".md-header label[for='__drawer']").wait_for()
    page.screenshot(path=str(SCREENSHOTS / f"{_name(path)}-phone.png"))
    faults["phone"] = faults_of(page)
    assert not any(faults.values()), "\n".join(f"{k}: {f}" for k, v in faults.items() for f in v)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("folder", ["", "howto", "explanation", "reference", "kvr", "patches"])
def test_axe_finds_nothing_on_any_other_page(folder: str, reader: Callable[..., Watched], built: Built) -> None:
    """Light and dark, on every page that is not looked at one by one above; of patches, one for each topic."""
    visit = reader(color_scheme="light", reduced_motion="reduce")
    found: list[str] = []
    seen: set[str] = set()
    for html in sorted(built.html.rglob("*.html")):
        path = html.relative_to(built.html).as_posix().removesuffix("index.html")
        top = path.partition("/")[0] if "/" in path.strip("/") else ""
        kind = path.rsplit("/", 2)[0] if top == "patches" and path.count("/") > 2 else path
        if path in PAGES or top != folder or kind in seen:
            continue
        seen.add(kind)
        page = visit.laid_out(path)
        for button in ("Switch to dark mode", "Switch to light mode"):
            found += [f"{path}: {f}" for f in faults_of(page)]
            page.get_by_title(button).click()
    assert seen or folder in ("reference",)
    assert not found, "\n".join(found)


def test_home_answers_a_stranger_on_the_first_screen(reader: Callable[..., Watched]) -> None:
    """Whom it concerns, whether it breaks today, by when to move, what to change, and the command: without scrolling."""
    page = reader().open("")
    for text in ("Does it break today?", "By when must I move?", "What do I change?", "--diff PATH"):
        box = page.get_by_text(text).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= DESKTOP["height"], text
    picture = page.get_by_role("img", name=re.compile("Before: .* After: "))
    box = picture.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= DESKTOP["height"]


def test_the_first_address_leads_to_the_newest_version(reader: Callable[..., Watched]) -> None:
    visit = reader()
    visit.page.goto(visit.address.removesuffix("dev/"), wait_until="networkidle")
    visit.page.wait_for_url("**/latest/")
    assert visit.page.locator(".md-version__current").inner_text().startswith("dev")


def test_a_reader_finds_the_way(reader: Callable[..., Watched]) -> None:
    page = reader().open("")
    page.get_by_role("link", name="Migrate a deployment").click()
    page.wait_for_url("**/migration/")
    page.get_by_role("link", name="Does my release care?").first.click()
    page.wait_for_url("**/does-my-release-care/")
    page.locator(".md-tabs").get_by_role("link", name="Reference").click()
    page.wait_for_url("**/reference/tools/")
    page.locator(".md-nav--primary").get_by_role("link", name="Exit codes").click()
    page.wait_for_url("**/reference/exit-codes/")
    page.locator(".md-footer__link--next").click()
    page.wait_for_url("**/reference/codes/")


def test_a_phone_reader_finds_the_way(reader: Callable[..., Watched]) -> None:
    page = reader(viewport=PHONE, has_touch=True, is_mobile=True).open("")
    drawer = page.locator(".md-nav--primary")
    page.locator(".md-header label[for='__drawer']").tap()
    entry = drawer.get_by_role("link", name="Changelog")
    entry.wait_for(state="visible")
    entry.tap()
    page.wait_for_url("**/changelog/")


def test_a_search_for_kv_both_finds_the_guide_first(reader: Callable[..., Watched]) -> None:
    page = reader().open("")
    assert search(page, "kv_both").endswith("/migration/")
    page.screenshot(path=str(SCREENSHOTS / "search.png"))


WARNING = "Using kv_role='kv_both' with NixlConnector is deprecated"
GUIDE, LINES, PATH, PLATFORMS = "migration/", "symptoms/", "path/", "howto/platforms/"
TYPED = {
    GUIDE: [
        "kv_producer",
        "kv_consumer",
        "kv_role",
        "rollback",
        "deprecated",
        WARNING,
        "push mode",
        "bidirectional",
        "pipeline parallelism",
        "MultiConnector",
        "KServe",
        "dynamo",
        "llm-d",
        "LeaderWorkerSet",
        "Helm",
        "kubectl",
        "Loki",
        "metrics",
        "prefill",
        "decode",
        "warning",
        "nixl",
    ],
    LINES: [
        "no KVConnector found",
        "engine id mismatch",
        "compatibility hash",
        "Number of KV layers must match",
        "enable-mm-embeds",
    ],
    PATH: ["0.27.0", "0.24.0", "upgrade"],
    PLATFORMS: ["LMCache", "Mooncake", "TPU", "Gaudi"],
    "howto/rewrite-configs/": ["migrate"],
    "howto/air-gapped/": ["offline"],
    "howto/vendor-an-image/": ["wheel"],
    "howto/fork-or-commit/": ["fork"],
    "kvr/KVR113/": ["KVR113"],
}


@pytest.mark.parametrize(("path", "words"), [(p, w) for p, some in TYPED.items() for w in some])
def test_what_people_type_finds_its_page_first_and_no_patch(
    path: str, words: str, reader: Callable[..., Watched]
) -> None:
    visit = reader()
    page = visit.open(f"?q={quote(words)}")
    page.locator(".md-search-result__link").first.wait_for()
    found = page.locator(".md-search-result__item > .md-search-result__link").evaluate_all("x => x.map(a => a.href)")
    paths = [link.partition("?")[0].partition("#")[0].removeprefix(visit.address) for link in found]
    assert paths[0] == path, paths[:4]
    assert not [p for p in paths if re.fullmatch(r"patches/.+/\d.*", p)]


# Asks the search's own worker for the beginnings of words; gives those for which it finds nothing.
FINDS_NOTHING = """async ([base, beginnings]) => {
  const config = JSON.parse(document.querySelector("#__config").textContent);
  const index = await (await fetch(base + "search/search_index.json")).json();
  const worker = new Worker(new URL(config.search, document.baseURI));
  const answer = message => new Promise(resolve => {
    worker.onmessage = ({ data }) => { if (data.type !== 0) resolve(data); };
    worker.postMessage(message);
  });
  await answer({ type: 0, data: { ...index, options: { suggest: false } } });
  const missing = [];
  for (const words of beginnings)
    if (!(await answer({ type: 2, data: words })).data.items.length) missing.push(words);
  worker.terminate();
  return missing;
}"""


def test_each_beginning_of_a_word_finds_something(reader: Callable[..., Watched]) -> None:
    """The search takes some tokens of digits for others, and then answers nothing to words that begin as they do."""
    visit = reader()
    page = visit.open("")
    index = page.evaluate("base => fetch(base + 'search/search_index.json').then(r => r.json())", visit.address)
    said = " ".join(re.sub("<[^>]*>", " ", f"{doc['title']} {doc['text']}") for doc in index["docs"]).lower()
    # A short word of letters alone may be one that no index holds ("which").
    tokens = (w for w in re.split(index["config"]["separator"], said) if re.fullmatch(r"[a-z]\w+", w))
    words = {w for w in tokens if not re.fullmatch(r"[a-z]{1,7}|[0-9a-f]+", w)}
    beginnings = sorted({w[:n] for w in words for n in (2, 3)})
    assert "kv" in beginnings
    assert page.evaluate(FINDS_NOTHING, [visit.address, beginnings]) == []


def test_tabs_show_one_query_at_a_time(reader: Callable[..., Watched]) -> None:
    page = reader().open("migration/#log-queries")
    loki = page.get_by_text("count_over_time").first
    assert not loki.is_visible()
    page.locator(".tabbed-labels").get_by_text("Loki").click()
    loki.wait_for(state="visible")
    assert not page.get_by_text("kubectl logs -n llm").is_visible()


def test_a_heading_has_a_permanent_link(reader: Callable[..., Watched]) -> None:
    page = reader().open("explanation/design/")
    heading = page.locator("h2#the-contract")
    heading.hover()
    heading.locator("a.headerlink").click()
    assert page.url.endswith("#the-contract")


PROMPTED = ["howto/rewrite-configs/", "first-tree/", "howto/air-gapped/"]


@pytest.mark.parametrize("path", PROMPTED, ids=_name)
def test_copying_gives_the_commands_and_nothing_else(path: str, reader: Callable[..., Watched], built: Built) -> None:
    """No prompt and no output, every heredoc ends: the text of each console block is what a shell can run."""
    page = reader(permissions=["clipboard-read", "clipboard-write"]).open(path)
    source = built.checkout / "docs" / f"{path.strip('/')}.md"
    wanted = [docs.typed(b.text) for b in docs.blocks(source) if b.info == "console"]
    buttons = page.locator(".language-console .md-code__button[title='Copy to clipboard']")
    assert buttons.count() == len(wanted) > 0
    for number, commands in enumerate(wanted):
        page.evaluate("navigator.clipboard.writeText('')")
        page.locator(".language-console").nth(number).hover()
        buttons.nth(number).click()
        copied = clipboard(page)
        assert copied.strip() == commands.strip()
        done = subprocess.run(["bash", "-n"], input=copied + "\n", capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), copied


def test_a_code_block_can_be_copied(reader: Callable[..., Watched]) -> None:
    visit = reader(permissions=["clipboard-read", "clipboard-write"])
    page = visit.open("howto/port/")
    page.locator(".highlight").first.hover()
    page.locator(".highlight .md-clipboard, .highlight .md-code__button").first.click()
    assert "tools/port.py" in clipboard(page)


def test_the_reader_can_switch_to_dark_and_it_stays(reader: Callable[..., Watched]) -> None:
    visit = reader(color_scheme="light")
    page = visit.open("")
    page.get_by_title("Switch to dark mode").click()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    visit.open("migration/")
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"


@pytest.mark.parametrize("path", DRAWN, ids=_name)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_diagrams_are_drawn(path: str, scheme: str, reader: Callable[..., Watched]) -> None:
    page = reader(color_scheme=scheme).open(path)
    drawn = page.locator("div.mermaid")
    assert drawn.count() > 0
    for number, diagram in enumerate(drawn.all()):
        box = diagram.bounding_box()
        assert box is not None
        assert box["height"] > 60
        diagram.screenshot(path=str(SCREENSHOTS / f"diagram-{_name(path)}-{number}-{scheme}.png"))


# --- phone, paper, wrong address ------------------------------------------------------------------------------------------


def test_on_a_phone_the_rows_of_the_guides_tables_are_cards(reader: Callable[..., Watched]) -> None:
    page = reader(viewport=PHONE, has_touch=True, is_mobile=True).open("migration/")
    row = page.locator("tr", has_text="check of pipeline parallelism").first
    cells = row.locator("td").all()
    boxes = [c.bounding_box() for c in cells]
    assert len(boxes) == 5
    assert all(b is not None and b["x"] + b["width"] <= PHONE["width"] for b in boxes)
    assert [c.get_attribute("data-label") for c in cells][2] == "Prefill becomes kv_producer"


def test_on_paper_the_matrix_is_whole_and_the_picker_is_not_there(reader: Callable[..., Watched]) -> None:
    paper = {"width": 718, "height": 1050}  # A4 less its margins
    visit = reader(viewport=paper)
    page = visit.open("compatibility/")
    page.emulate_media(media="print")
    table = page.locator(".matrix table").first.bounding_box()
    assert table is not None
    assert table["x"] + table["width"] <= paper["width"]
    page = visit.open("does-my-release-care/")
    assert not page.locator("#picker").is_visible()
    assert page.locator("#effects details:visible").count() == 0
    for path in ("does-my-release-care/", "migration/", "symptoms/", "path/", "explanation/measured/"):
        page = visit.open(path)
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= paper["width"], path


def test_a_wrong_address_leads_on(built: Built) -> None:
    """The error page has the search and the pages that most readers want."""
    html = (built.html / "404.html").read_text()
    assert "md-search__input" in html
    for wanted in ("migration/", "does-my-release-care/", "symptoms/", "howto/rewrite-configs/"):
        assert f'{wanted}"' in html, wanted
