"""The report of a run as a browser shows it: whole, offline, without a script error, and without a personal value."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from record_rows import BEN, CASE, COUNTY, PERSONS, add_order, begin_run, inputs_of, new_home

from record.publish import publish
from record.report import write_report
from store import ledger as tables
from store.home import Home
from store.ledger import Ledger

CANARIES = ("Zyxquanda", "Vorplethe", "999-55-1234", "1 Canary Court", "canary@example.org")
NAMES = {"school": "Hill Schools", "court": "County Court", "care": "Child Care <Dept> & Co"}


def add_extract(ledger: Ledger, number: int, **values: Any) -> None:
    accounts, received = values.pop("accounts", {}), values.pop("received", None)
    row = {
        "extract_id": f"x{number}", "agency": "school", "feed": "students", "name": f"file_{number}.csv",
        "sha256": f"{number}", "size": 1, "received_at": f"2026-03-30T04:0{number}:00+00:00", "as_of": "2026-03-30",
        "seq": number, "holds": "full", "status": "loaded", "status_reason": None, "run_id": "run-2", **values,
    }  # fmt: skip
    with ledger.writing() as connection:
        connection.execute(tables.extract.insert().values(**row))
        if received is not None:
            connection.execute(tables.received.insert().values(extract_id=row["extract_id"], rows=received))
        for (disposition, reason), rows in accounts.items():
            account = {"disposition": disposition, "reason": reason, "rows": rows}
            connection.execute(tables.account.insert().values(extract_id=row["extract_id"], **account))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a second run, with something of everything in it and canaries wherever a person's value can be."""
    tmp_path = tmp_path_factory.mktemp("report")
    home, ledger = new_home(tmp_path / "home")
    named = [{**row, "given": CANARIES[0], "surname": CANARIES[1]} for row in COUNTY["person_name"]]
    rows = {
        **COUNTY, "person_name": named, "address": [{"person_ref": BEN, "line1": CANARIES[3]}],
        "person_identifier": [{"person_ref": BEN, "type": "ssn", "value": CANARIES[2]}],
    }  # fmt: skip
    publish(home, ledger, inputs_of(tmp_path / "a", rows), run_id="run-1", fence=1)
    begin_run(ledger, "run-2", 2)
    went = {
        ("accepted", ""): 900, ("quarantined", "orphan"): 12, ("quarantined", "enrollment.exit_not_before_entry"): 3,
        ("duplicate", "exact_copy"): 4, ("withheld", "out of scope"): 1,
    }  # fmt: skip
    add_extract(ledger, 1, received=920, accounts=went)
    add_extract(ledger, 2, feed="discipline", status="held", status_reason="truncated", received=30,
                accounts={("quarantined", "truncated"): 30})  # fmt: skip
    add_extract(ledger, 3, agency="court", feed="party", received=2400, accounts={("accepted", ""): 2400})
    add_extract(ledger, 4, agency="court", feed="case_hdr", received=10,
                accounts={("accepted", ""): 8, ("withheld", "sealed"): 2})  # fmt: skip
    add_extract(ledger, 5, agency="care", feed="CLIENT_T", run_id="run-1", received=1, accounts={("accepted", ""): 1})
    with ledger.writing() as connection:
        pending = {"agency": "school", "feed": "students", "element": "sex", "value": CANARIES[0],
                   "first_extract": "x1", "last_extract": "x1", "rows": 5}  # fmt: skip
        connection.execute(tables.code_pending.insert().values(**pending))
        finding = {"extract_id": "x1", "code": "new_column", "severity": "warning", "detail": CANARIES[4], "rows": 1}
        connection.execute(tables.file_finding.insert().values(**finding))
    add_order(ledger, CASE)
    publish(home, ledger, inputs_of(tmp_path / "b", rows, {**PERSONS, BEN: "ANA"}), run_id="run-2", fence=2)
    return write_report(
        home, ledger, run_id="run-2", names=NAMES, links=links(home), shown=lambda *named: named[-1],
        late={("school", "students"): False, ("care", "CLIENT_T"): True, ("police", "RMS_PERSON"): True},
        stands={("school", "students"): ["short", "gap"], ("police", "RMS_PERSON"): ["silent"]},
        failures={"metro_police": "SourceError (4)"},
    )  # fmt: skip


def links(home: Home) -> Path:
    """Pairs as linkage leaves them: heavy ones linked, a few in the middle, many light ones."""
    folder = home.links / "l1"
    folder.mkdir()
    pairs = [(w / 2, "no") for w in range(-30, 0) for _ in range(60 + w)]
    pairs += [(w / 3, "review") for w in range(0, 18)]
    pairs += [(6 + w / 4, "link") for w in range(80) for _ in range(3)]
    columns = {"weight": [w for w, _ in pairs], "decision": [d for _, d in pairs]}
    pq.write_table(pa.table({**columns, "record_l": [CANARIES[0]] * len(pairs)}), folder / "edges.parquet")
    settings = {"settings": {"review_weight": 0.0, "link_weight": 6.0}}
    (folder / "linkage.json").write_text(json.dumps(settings))
    return folder


class Outside(HTMLParser):
    """Everything in a page that a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "iframe", "object", "embed", "img"}:
            self.found.append(tag)
        for name, value in attrs:
            fetched = name in {"src", "href", "srcset", "poster", "action"} and not re.match(r"#|data:,$", value or "")
            if fetched or name.startswith("on"):
                self.found.append(f"{tag} {name}")


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8")))


def test_the_page_holds_all_it_needs_and_no_value_of_a_person(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert [canary for canary in CANARIES if canary in html] == []
    outside = Outside()
    outside.feed(html)
    assert outside.found == []
    assert "url(" not in html and "@import" not in html
    assert oct(page.stat().st_mode & 0o777) == "0o600"


def test_the_page_tells_what_arrived_where_rows_went_and_what_changed(page: Path) -> None:
    text = text_of(page)
    for said in (
        "Hill Schools students file_1.csv 2026-03-30 920 loaded on time short gap",
        "Hill Schools discipline file_2.csv 2026-03-30 30 held truncated send the whole file again none declared",
        "police RMS_PERSON never nothing new late silent",
        "Hill Schools students 920 900 15 4 1 holds",
        "All 3,360 3,308 45 4 3",
        "orphan 12 send the row it refers to; this row is tried again by itself",
        "Hill Schools students sex 1 1 5",
        "County Court case_hdr withheld sealed 2",
        "charge 1 0 -1",
        "persons that hold mentions of several before 1",
        "charge 1 1",
        "SourceError (4)",
        "Child Care &lt;Dept&gt; &amp; Co",
    ):
        assert said in text, said


def test_a_run_before_anything_was_published_has_a_page_too(tmp_path: Path) -> None:
    home, ledger = new_home(tmp_path / "home")
    page = write_report(home, ledger, run_id="run-1", names={}, late={}, shown=lambda *_: "*")
    assert "Nothing has been published yet" in text_of(page)
    assert "No rows came in this run" in text_of(page)


def test_a_browser_shows_the_page_without_an_error_and_fetches_nothing(page: Path, tmp_path: Path) -> None:
    picture, console, fetched = show(page, tmp_path)
    assert picture.stat().st_size > 20_000
    assert (console, fetched) == ([], [])


def test_a_page_that_fetches_or_errs_would_be_found_out(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://127.0.0.1:9/x.png"><script>nothing.at.all()</script>')
    _, console, fetched = show(page, tmp_path)
    assert len(console) == 1
    assert set(fetched) == {"http://127.0.0.1:9/x.png"}


def show(page: Path, folder: Path) -> tuple[Path, list[str], list[str]]:
    """Opens a page in a headless browser: its picture, what stands on the console, what it fetched."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs a browser; install one with: apt-get install chromium")
    log, picture = folder / "net.json", folder / "page.png"
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0",
        f"--log-net-log={log}", "--net-log-capture-mode=Everything", "--window-size=1120,3200",
        "--virtual-time-budget=2000", f"--screenshot={picture}", page.as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    console = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    return picture, console, fetched_by_page(log, page)


def fetched_by_page(log: Path, page: Path) -> list[str]:
    """The addresses the page asked for, itself left out; the browser's own errands have another initiator."""
    events = json.loads(log.read_text(encoding="utf-8", errors="replace"))["events"]
    asked = [event.get("params", {}) for event in events]
    mine = [p for p in asked if p.get("initiator") in ("file://", "null") and "url" in p]
    return [p["url"] for p in mine if p["url"] != page.as_uri()]
