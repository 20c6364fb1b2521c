"""Operators are told once of what is late, silent, short or held, and of its end: by real e-mail and webhook."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows.fetching import fetch_agency
from flows.intake import load_extracts
from flows.lay_out_home import write_settings
from flows.notices import Notice, find_notices, tell_notices
from flows.run import open_night
from flows.send_receipts import overdue_feeds
from flows.settings import load_agencies_of, load_settings
from flows.standing import LATE
from flows.wake import wake_when_grace_ends
from standard.errors import SourceError
from store.ledger import open_ledger
from tests.exchange import MONDAY, STUDENTS, SmallExchange, small_exchange

WEEK = timedelta(days=7)


class Webhook(BaseHTTPRequestHandler):
    """Takes what is posted to it."""

    came: list[dict[str, str]]

    def do_POST(self) -> None:
        self.came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class MailServer(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to be handed a letter."""

    came: list[str]

    def handle(self) -> None:
        self.say("220 ready")
        while line := self.rfile.readline():
            verb = line[:4].strip().upper()
            if verb == b"DATA":
                self.say("354 go on")
                letter = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.came.append(letter.decode())
            self.say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hooked() -> Iterator[tuple[str, list[dict[str, str]]]]:
    came: list[dict[str, str]] = []
    with serving(HTTPServer(("127.0.0.1", 0), type("Hook", (Webhook,), {"came": came}))) as port:
        yield f"json://127.0.0.1:{port}/notices", came


@pytest.fixture
def small(tmp_path: Path) -> SmallExchange:
    return small_exchange(tmp_path, agencies=("hillside_schools",))


def notify(small: SmallExchange, url: str) -> None:
    (small.home.keys / "ops").write_text(url)
    (small.home.keys / "ops").chmod(0o600)
    text = small.home.settings_file.read_text("utf-8")
    if "notify" not in text:
        small.home.settings_file.chmod(0o600)
        write_settings(small.home, f"{text}notify: [secret:ops]\n")


def poll(small: SmallExchange, now: datetime) -> list[tuple[str, bool]]:
    """A night without linking; gives what became an event."""
    events: list[tuple[str, bool]] = []

    def emit(notice: Notice, over: bool) -> None:
        events.append((f"{notice.place} {notice.kind}", over))

    with open_night(small.home, now=now) as night:
        fetch_agency(night, "hillside_schools")
        load_extracts(night, "hillside_schools")
        tell_notices(night, emit=emit)
    return events


def pupils(count: int) -> str:
    return (
        STUDENTS.splitlines()[0]
        + "\n"
        + "".join(f"{n:06},Ana,Quill{chr(97 + n % 26)},2013-04-{1 + n % 28:02},1,12B\n" for n in range(count))
    )


def test_what_is_late_is_told_once_and_its_arrival_clears_it(
    small: SmallExchange, hooked: tuple[str, list[dict[str, str]]]
) -> None:
    url, came = hooked
    notify(small, url)
    small.put_students()
    assert poll(small, MONDAY) == []
    late = MONDAY + timedelta(days=8)
    assert poll(small, late) == [("hillside_schools/students late", False)]
    assert poll(small, late + timedelta(hours=1)) == []
    assert poll(small, late + 2 * WEEK) == [("hillside_schools/students silent", False)]
    assert came[0]["message"].startswith("hillside_schools/students: is late: it was due 2026-09-14 05:00 EDT")
    small.put_students(STUDENTS.replace("Ines", "Inez"), day="20260914")
    assert sorted(poll(small, late + 2 * WEEK)) == [
        ("hillside_schools/students late", True),
        ("hillside_schools/students silent", True),
    ]
    assert "no longer silent" in came[-1]["message"]
    assert len(came) == 3
    assert "Amara" not in json.dumps(came)


def test_a_file_far_shorter_than_those_before_is_told_and_a_held_one_too(
    small: SmallExchange, hooked: tuple[str, list[dict[str, str]]]
) -> None:
    url, came = hooked
    notify(small, url)
    for week, count in enumerate((100, 102, 98, 101), start=1):
        small.put_students(pupils(count), day=f"202609{week:02}")
        assert poll(small, MONDAY) == []
    small.put_students(pupils(40), day="20260908")
    told = {place for place, _ in poll(small, MONDAY)}
    assert told == {"hillside_schools/students short", "hillside_schools/students held"}
    assert "40 rows, usually 100" in came[-1]["message"]
    assert poll(small, MONDAY) == []


def test_what_could_not_be_told_is_told_by_the_next_night(small: SmallExchange) -> None:
    came: list[str] = []
    notify(small, "json://127.0.0.1:9/nobody")
    later = MONDAY + WEEK
    with pytest.raises(SourceError, match="could not be told") as refused:
        poll(small, later)
    assert "127.0.0.1" not in str(refused.value)
    with serving(socketserver.TCPServer(("127.0.0.1", 0), type("Mail", (MailServer,), {"came": came}))) as port:
        notify(small, f"mailto://127.0.0.1:{port}/?from=kith@example.org&to=ops@example.org&mode=insecure")
        poll(small, later)
    [letter] = came
    assert "To: ops@example.org" in letter
    assert "hillside_schools/students: is late" in letter.replace("=\r\n", "")
    assert poll(small, later) == []


def test_a_gap_in_the_sender_s_count_is_told_asked_for_and_cleared(small: SmallExchange) -> None:
    feed = small.home.agencies / "hillside_schools" / "students.yaml"
    feed.write_text(feed.read_text().replace("students_{as_of:%Y%m%d}.csv", "students_{as_of:%Y%m%d}_{sequence}.csv"))
    for number, day in ((7, "0901"), (8, "0902"), (11, "0907")):
        small.put(f"students_2026{day}_{number:04}.csv", pupils(30 + number))
    assert poll(small, MONDAY) == [("hillside_schools/students gap", False)]
    agencies = load_agencies_of(small.home, load_settings(small.home))
    ledger = open_ledger(small.home.ledger_file)
    assert overdue_feeds(ledger, agencies["hillside_schools"], now=MONDAY) == [{"feed": "students", "missing": [9, 10]}]
    ledger.close()
    for number, day in ((9, "0903"), (10, "0904")):
        small.put(f"students_2026{day}_{number:04}.csv", pupils(30 + number))
    assert poll(small, MONDAY) == [("hillside_schools/students gap", True)]


def test_the_end_of_a_grace_wakes_the_exchange_while_nothing_has_come(small: SmallExchange) -> None:
    """Due on Mondays at 05:00 in Boston, with a grace of 24 hours."""
    due = datetime(2026, 9, 7, 9, tzinfo=UTC)
    asked: dict[str, datetime] = {}
    with open_night(small.home, now=due + timedelta(minutes=1)) as night:
        wake_when_grace_ends(night, ask=asked.__setitem__)
    assert asked["hillside_schools"] == due + timedelta(hours=24, minutes=1)
    with open_night(small.home, now=asked["hillside_schools"]) as night:
        assert (LATE, "students") in {(notice.kind, notice.feed) for notice in find_notices(night)}
        again: dict[str, datetime] = {}
        wake_when_grace_ends(night, ask=again.__setitem__)
    assert "hillside_schools" not in again
