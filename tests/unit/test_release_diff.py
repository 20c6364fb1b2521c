"""Between two releases every changed number has its causes, and they sum to the difference exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from governed import CLASSES, DAY, END, START, small_governance
from record_rows import Row, add_order, inputs_of, new_home

from governance.consent_records import Grantor, Scope, record_consent
from record.publish import publish
from releases.causes import CAUSES
from releases.diff import Change, diff_releases
from releases.index import forget, forget_agencies, kept_release
from releases.reader import open_release
from releases.release import make_release
from standard.errors import AccountError, DeclarationError
from standard.sensitivity import Sensitivity
from store import ledger as tables
from store.home import connect, literal
from store.ledger import now

AT = datetime(2026, 3, 30, 8, 0, tzinfo=UTC)
POLICY = """\
policy: study
recipient: university
purpose: research
agreement: DUL-1
columns:
  person: [person_id, agencies]
  person_source: [person_id, agency, how]
  enrollment: [person_id, status, school_id, agency_id]
  discipline: [person_id, behavior, agency_id]
  timeline: [person_id, event_type, code]
treatments: {"*.person_id": pseudonym}
rows: {age_bands: [minor, adult, unknown], need_to_know: none}
"""
PUPILS = [f"p{n}" for n in range(12)]
DUE, LATER = date(2026, 3, 1), date(2026, 3, 20)


def ref(pupil: str, agency: str = "school") -> str:
    return f"{agency}/students/{pupil}"


class County:
    """Rows in force of one school and one child welfare agency, which a test changes between two publishings."""

    def __init__(self) -> None:
        pupils = [*(ref(p) for p in PUPILS), *(ref(p, "care") for p in PUPILS[:3])]
        self.who = {name: name.rsplit("/", 1)[1].upper() for name in pupils}
        self.rows: dict[str, list[Row]] = {
            "person": [{"person_ref": name} for name in pupils],
            "person_demographic": [{"person_ref": n, "sex": "F", "birth_date": date(2012, 1, 1)} for n in pupils],
            "enrollment": [_enrolled(p) for p in PUPILS],
            "discipline": [_incident(p) for p in PUPILS[:4]],
        }
        self.extracts = {"x-school": ("school", "students", DUE), "x-care": ("care", "students", DUE)}

    def enrolled(self, pupil: str) -> Row:
        return next(row for row in self.rows["enrollment"] if row["person_ref"] == ref(pupil))


def _enrolled(pupil: str, extract: str = "x-school", **given: object) -> Row:
    return {"person_ref": ref(pupil), "school_id": "7", "entry_date": date(2025, 9, 1), "status": "open",
            "row_id": f"e-{pupil}", "extract_id": extract, "as_of": DUE, **given}  # fmt: skip


def _incident(pupil: str) -> Row:
    return {"person_ref": ref(pupil), "date": date(2026, 1, 9), "behavior": "fighting", "row_id": f"d-{pupil}"}


class Exchange:
    """A home whose county is published and released again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        home, ledger = new_home(root / "home")
        small = small_governance(home.root, sensitivities=[*CLASSES, Sensitivity.HEALTH])
        small.policy(POLICY)
        self.home, self.ledger, self.small, self.county, self.made = home, ledger, small, County(), 0

    def give(self) -> str:
        """Publishes the county as it is now and releases it."""
        self.made += 1
        self._load_extracts()
        inputs = inputs_of(self.root / f"in{self.made}", self.county.rows, self.county.who)
        publish(self.home, self.ledger, inputs, run_id="run-1", fence=1)
        return make_release(self.home, self.ledger, self.small.load(), "study", at=AT + timedelta(minutes=self.made),
                            day=DAY).release_id  # fmt: skip

    def _load_extracts(self) -> None:
        e = tables.extract
        with self.ledger.writing() as connection:
            known = {row.extract_id for row in connection.execute(e.select())}
            for number, (name, (agency, feed, as_of)) in enumerate(self.county.extracts.items()):
                if name not in known:
                    row = {"extract_id": name, "agency": agency, "feed": feed, "name": name, "sha256": name, "size": 1,
                           "received_at": now(), "as_of": as_of.isoformat(), "seq": number, "holds": "full",
                           "status": "loaded", "run_id": "run-1"}  # fmt: skip
                    connection.execute(e.insert().values(row))
                    connection.execute(tables.received.insert().values(extract_id=name, rows=0))

    def diff(self, old: str, new: str) -> list[Change]:
        return diff_releases(self.home, self.ledger, old, new)


def new(at: Exchange) -> None:
    """A pupil enters; the school tells of it in the next file."""
    at.county.extracts["x-school-2"] = ("school", "students", LATER)
    at.county.rows["enrollment"].append(_enrolled("p11", "x-school-2", row_id="e-new", as_of=LATER))


def late(at: Exchange) -> None:
    """A file of a day that the old release had passed comes in."""
    at.county.extracts["x-school-late"] = ("school", "students", DUE - timedelta(3))
    at.county.rows["enrollment"].append(_enrolled("p10", "x-school-late", row_id="e-late", as_of=DUE - timedelta(3)))


def corrected(at: Exchange) -> None:
    at.county.extracts["x-school-3"] = ("school", "students", LATER)
    at.county.enrolled("p9").update(status="closed", extract_id="x-school-3", as_of=LATER)


def deleted(at: Exchange) -> None:
    at.county.rows["enrollment"].remove(at.county.enrolled("p8"))


def relinked(at: Exchange) -> None:
    """Two pupils turn out to be one."""
    at.county.who[ref("p7")] = "P6"


def remapped(at: Exchange) -> None:
    """A code is mapped otherwise; the rows are the same."""
    with at.ledger.writing() as connection:
        connection.execute(tables.remap.insert().values(remap_id="r1", agency="school", at=now()))
    at.county.rows["discipline"][3]["behavior"] = "bullying"


def consent(at: Exchange) -> None:
    form = at.root / "form.pdf"
    form.write_bytes(b"signed")
    scope = Scope(ref("p5"), ("university",), ("research",), (Sensitivity.EDUCATION,))
    record_consent(at.ledger, at.small.load().parties, scope, granted=False, grantor=Grantor.PARENT, authority="form",
                   document=form, since=START, until=END, by="school_officer")  # fmt: skip


def sealed(at: Exchange) -> None:
    add_order(at.ledger, ref("p4"))


EACH: dict[str, Callable[[Exchange], None]] = {
    "new": new, "late": late, "corrected": corrected, "deleted": deleted, "re-linked": relinked,
    "re-mapped": remapped, "consent": consent, "sealed": sealed,
}  # fmt: skip
ROWS_BY: dict[str, dict[str, int]] = {
    "new": {"enrollment": 1, "timeline": 1},
    "late": {"enrollment": 1, "timeline": 1},
    "corrected": {},
    "deleted": {"enrollment": -1, "timeline": -1},
    "re-linked": {"person": -1},
    "re-mapped": {},
    "consent": {"enrollment": -1, "timeline": -1, "person_source": -1},
    "sealed": {"enrollment": -1, "timeline": -1, "person_source": -1, "person": -1},
}
"""Cause -> table -> by how much its rows change."""


def by_cause(changes: list[Change]) -> dict[str, dict[str, int]]:
    """Cause -> table -> the difference in its rows, where there is one."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for change in changes:
        if not change.column and change.plus != change.minus:
            found[change.cause][change.table] = change.plus - change.minus
    return dict(found)


def sums_hold(changes: list[Change]) -> bool:
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for change in changes:
        sums[change.table, change.column, change.code] += change.plus - change.minus
    return all(sums[c.table, c.column, c.code] == c.after - c.before for c in changes)


@pytest.mark.parametrize("cause", EACH)
def test_each_cause_alone_is_told_as_what_it_is(tmp_path: Path, cause: str) -> None:
    at = Exchange(tmp_path)
    old = at.give()
    EACH[cause](at)
    changes = at.diff(old, at.give())
    assert {change.cause for change in changes} == {cause}
    assert by_cause(changes) == ({cause: ROWS_BY[cause]} if ROWS_BY[cause] else {})
    assert sums_hold(changes)


def test_all_causes_together_sum_to_every_difference(tmp_path: Path) -> None:
    at = Exchange(tmp_path)
    old = at.give()
    for change_it in EACH.values():
        change_it(at)
    changes = at.diff(old, at.give())
    assert {change.cause for change in changes} == set(EACH)
    assert by_cause(changes) == {cause: rows for cause, rows in ROWS_BY.items() if rows}
    assert sums_hold(changes)
    corrected_ = {(c.column, c.code, c.plus, c.minus) for c in changes if c.cause == "corrected"}
    assert {("status", "closed", 1, 0), ("status", "open", 0, 1)} <= corrected_
    assert {("behavior", "bullying", 1, 0), ("behavior", "fighting", 0, 1)} <= {
        (c.column, c.code, c.plus, c.minus) for c in changes if c.cause == "re-mapped"
    }


def shake(at: Exchange, random: Random) -> None:
    """Changes the county at random: rows come, go and change, by new extracts or old ones; persons merge and part."""
    for number, pupil in enumerate(random.sample(PUPILS, 5)):
        extract = f"x-{at.made}-{number}"
        at.county.extracts[extract] = ("school", "students", DUE + timedelta(random.randrange(-30, 60)))
        given = {"row_id": f"{extract}-{pupil}", "status": random.choice(["open", "closed", None])}
        at.county.rows["enrollment"].append(_enrolled(pupil, extract, **given))
        row = random.choice(at.county.rows["enrollment"])
        row.update(
            status=random.choice(["open", "closed", "suspended", None]), extract_id=random.choice([extract, "x-school"])
        )
        at.county.rows["enrollment"].remove(random.choice(at.county.rows["enrollment"]))
        at.county.who[ref(pupil)] = random.choice(["P1", "P2", pupil.upper()])
        random.choice(at.county.rows["discipline"])["behavior"] = random.choice(["fighting", "bullying"])
    random.choice([consent, sealed, remapped])(at)


def counted(at: Exchange, release_id: str) -> dict[tuple[str, str, str], int]:
    """Every number of a release, counted from what the recipient has."""
    given = open_release(at.home.root / "releases" / "university" / release_id, today=DAY)
    found: dict[tuple[str, str, str], int] = {}
    for name in given.tables():
        frame = given.table(name).to_pandas()
        found[name, "", ""] = len(frame)
        for column in {"status", "agency_id", "behavior", "event_type", "code", "agency", "how"} & set(frame.columns):
            found |= {(name, column, str(code)): int(n) for code, n in frame[column].value_counts().items()}
    return found


@pytest.mark.parametrize("seed", range(3))
def test_whatever_changes_the_numbers_are_those_of_the_releases_and_the_causes_sum(tmp_path: Path, seed: int) -> None:
    at, random = Exchange(tmp_path), Random(seed)
    old = at.give()
    shake(at, random)
    new_ = at.give()
    changes = at.diff(old, new_)
    before, after = counted(at, old), counted(at, new_)
    told = {(c.table, c.column, c.code): (c.before, c.after) for c in changes}
    differ = {key for key in before.keys() | after.keys() if before.get(key, 0) != after.get(key, 0)}
    assert differ and differ <= told.keys()
    assert told == {key: (before.get(key, 0), after.get(key, 0)) for key in told}
    assert sums_hold(changes) and {change.cause for change in changes} <= set(EACH)


def test_between_a_release_and_the_same_again_nothing_changed(tmp_path: Path) -> None:
    at = Exchange(tmp_path)
    assert at.diff(at.give(), at.give()) == []


def test_a_row_that_quarantine_gave_back_came_late(tmp_path: Path) -> None:
    at = Exchange(tmp_path)
    old = at.give()
    at.county.rows["enrollment"].append(_enrolled("p11", row_id="e-released"))
    assert by_cause(at.diff(old, at.give())) == {"late": {"enrollment": 1, "timeline": 1}}


def test_what_an_order_made_forgotten_still_counts_and_is_named_nowhere(tmp_path: Path) -> None:
    at = Exchange(tmp_path)
    old = at.give()
    sealed(at)
    assert forget(at.home, rows=["e-p4"], persons=["P4"]) > 0
    with connect() as con:
        for path in kept_release(at.home, old).folder.glob("*.parquet"):
            text = con.sql(f"SELECT t::VARCHAR FROM read_parquet({literal(path)}) t").fetchall()
            assert not [row for row in text if "P4" in row[0] or "e-p4" in row[0]], path.name
    changes = at.diff(old, at.give())
    assert by_cause(changes) == {"sealed": ROWS_BY["sealed"]} and sums_hold(changes)


def test_what_came_from_an_agency_whose_data_are_destroyed_is_named_nowhere(tmp_path: Path) -> None:
    at = Exchange(tmp_path)
    path = kept_release(at.home, at.give()).folder / "enrollment.parquet"
    asked = f"SELECT agency, count(*), count(row), count(person) FROM read_parquet({literal(path)}) GROUP BY 1"
    [(agency, rows, *_)] = connect().sql(asked).fetchall()
    assert forget_agencies(at.home, [agency]) >= rows
    assert connect().sql(asked).fetchall() == [(None, rows, 0, 0)]
    assert forget_agencies(at.home, [agency]) == 0


def test_an_index_that_was_changed_is_found_out(tmp_path: Path) -> None:
    at = Exchange(tmp_path)
    old = at.give()
    path = kept_release(at.home, old).folder / "enrollment.parquet"
    with connect() as con:
        con.execute(f"CREATE TABLE t AS FROM read_parquet({literal(path)})")
        con.execute("INSERT INTO t FROM t LIMIT 1")
        con.execute(f"COPY t TO {literal(path)} (FORMAT parquet)")
    with pytest.raises(AccountError, match="do not sum"):
        at.diff(old, at.give())


def test_releases_by_two_texts_of_a_policy_are_not_compared(tmp_path: Path) -> None:
    at = Exchange(tmp_path)
    old = at.give()
    at.small.policy(POLICY.replace("school_id, ", ""))
    with pytest.raises(DeclarationError, match="the text of the policy is another"):
        at.diff(old, at.give())


def test_the_causes_have_a_meaning_each() -> None:
    assert set(EACH) <= set(CAUSES) and all(CAUSES.values())
