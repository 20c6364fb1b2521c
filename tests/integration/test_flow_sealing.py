"""What a court has sealed or expunged is gone everywhere and stays gone, whatever way it comes again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import flows.sealing
from expectations.past_states import write_state_as_of
from expectations.quarantine import list_quarantine
from flows.cli import app
from flows.remap import remap_agency
from flows.settings import load_settings
from flows.terminal import run_command_line
from governance.retractions import acknowledge, notices
from governance.sealing import Kind
from governance.sealing_export import export_seals, import_seals
from governance.sealing_proof import Proof, prove
from governance.subjects import read_registers
from linkage.review import queue
from record.reader import open_record
from standard.errors import DeclarationError
from store.accounts import require_sums_hold
from store.home import connect, literal
from store.ledger import extract, judgement, now, order_
from store.registers import retraction, seal_mark, seal_order
from store.seal_index import read_index
from store.sign import public_key, verify
from tests.courthouse import (
    CASE,
    CASES,
    CHARGES,
    CONTACT,
    CONTACTS,
    PARTIES,
    PARTS,
    Courthouse,
    bytes_with,
    copied,
    courthouse,
    published,
)
from tests.exchange import MONDAY


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Courthouse:
    """The home before the order."""
    return courthouse(tmp_path_factory.mktemp("courthouse"))


@pytest.fixture(scope="module")
def sealed(base: Courthouse, tmp_path_factory: pytest.TempPathFactory) -> Courthouse:
    """The home after the night in which the order to seal came into force."""
    house = copied(base, tmp_path_factory.mktemp("sealed") / "house")
    house.order(CASE, CONTACT)
    house.night()
    return house


@dataclass(frozen=True)
class Way:
    """A way for the sealed case or contact to come again: a file that is sent, and the rows it would put in force."""

    name: str
    feed: str
    rows: tuple[str, ...]
    days: int = 0


HEADS = {"cases": CASES, "parties": PARTIES, "parts": PARTS, "charges": CHARGES, "contacts": CONTACTS,
         "state_contacts": CONTACTS}  # fmt: skip
CHILD = "Zorabel,Quenniston,2010-01-30"
WAYS = (
    Way("the same row under another file name", "cases", ("C1,24-JV-118,2026-03-02",)),
    Way("a corrected row of the same key", "cases", ("C1,24-JV-118,2026-03-03",), 1),
    Way("its key in small letters", "cases", ("c1,24-JV-118,2026-03-02",), 1),
    Way("its key with blanks and zeros before it", "parts", ("11,0c1,P1", "12,C-1,P1"), 2),
    Way("a file of an older day after the newer", "cases", ("C1,24-JV-118,2026-03-02",), -3),
    Way("a backfill of an old day", "charges", ("71,C1,P1,2026-02-14,Ch. 266 s. 30",), -400),
    Way("a new charge of the case", "charges", ("79,C1,P1,2026-02-15,Ch. 94C s. 34",), 1),
    Way("the case under another key, by its docket number", "cases", ("C9,24 JV 118,2026-03-02",), 3),
    Way("what hangs on the other key", "charges", ("78,C9,P1,2026-02-16,Ch. 266 s. 30",), 3),
    Way("the contact under another number", "contacts", (f"777,{CHILD},2026-02-14,26-9901",), 1),
    Way("another agency's report of the same contact", "state_contacts", (f"55,{CHILD},2026-02-14,A9",), 1),
    Way("a row in error, which quarantine would show", "cases", ("C1,24-JV-118,never",), 4),
    Way("a row that cannot be split", "contacts", (f"501,{CHILD},2026-02-14,26-9901,too,many",), 5),
    Way("a row that was deleted and comes again", "contacts", (f"501,{CHILD},2026-02-14,26-9901",), 6),
    Way("the person of the case alone", "parties", ("P1,Zorabel,Quenniston,2010-01-30",), 5),
)
"""The tests below go twelve ways more that are no file: quarantine and its release, a remap, past states, decisions,
mentions that are linked, the review queue, a judgement, a kill half way with what it left, a restored backup, feeds
back, earlier snapshots, and what commands tell."""


def send(house: Courthouse, *, but: tuple[str, ...] = ()) -> None:
    for number, way in enumerate(WAYS):
        if way.name not in but:
            text = "\n".join([HEADS[way.feed].partition("\n")[0], *way.rows, ""])
            house.put(way.feed, text, day=MONDAY.date() + timedelta(days=way.days), more=f"_{number}")


def test_a_sealed_case_is_out_of_the_record_and_of_all_earlier_snapshots(sealed: Courthouse) -> None:
    record = open_record(sealed.home)
    assert published(record) == []
    others = record.table("case").to_pandas()
    assert others.case_ref.tolist() == ["valley_court/cases/C2"]
    assert len(record.table("charge").to_pandas()) == 1
    left = [p for p in sealed.home.root.rglob("*.parquet") if p.parts[-4:-2] == ("record", "snapshots")]
    assert {p.parent.name for p in left} == {record.snapshot_id}
    # What the exchange keeps unseen, and nothing else, still holds it.
    assert {name.partition("/")[0] for name in bytes_with(sealed.home.root)} == {"landing", "batches", "state"}


def test_the_index_of_orders_holds_no_key_and_no_name(sealed: Courthouse) -> None:
    with sealed.ledger.reading() as connection:
        rows = [*connection.execute(seal_mark.select()), *connection.execute(seal_order.select())]
    text = " ".join(str(cell) for row in rows for cell in row)
    assert len(rows) > 5
    for word in ("C1", "P1", "501", "JV-118", "Zorabel", "ZORABEL"):
        assert word not in text.replace("27-SO-1", "").split()
        assert f"/{word}" not in text


def test_no_way_brings_a_sealed_record_back(sealed: Courthouse, tmp_path: Path) -> None:
    house = copied(sealed, tmp_path / "house")
    send(house)
    record = house.night()
    assert published(record) == []
    shown = list_quarantine(house.home, house.ledger)
    assert {row.name.partition("_")[0] for row in shown} <= {"students"}  # the school's own row in error
    for name, agency in house.agencies.items():
        for feed in ("cases", "contacts"):
            if feed in agency.feeds and name != "state_police":
                out = tmp_path / f"{name}.csv"
                write_state_as_of(house.home, house.ledger, agency, agency.feeds[feed], house.today, into=out)
                assert "Zorabel" not in out.read_text("utf-8")
                assert "118" not in out.read_text("utf-8")
    sealed_refs = set(read_registers(house.ledger).seals["ref"].to_pylist())
    assert {CASE, CONTACT} <= sealed_refs
    links = house.home.links / record.snapshot.manifest["versions"]["links"]
    with connect() as con:
        people = con.sql(f"FROM read_parquet({literal(links / 'people.parquet')})").fetchall()
    assert "Zorabel" not in str(people)
    assert not [pair for pair in queue(links, []) if CONTACT in (pair.record_l, pair.record_r)]
    # Every row of another child that came is still there.
    assert len(record.table("police_contact").to_pandas()) == 2


def test_a_remap_brings_nothing_back_and_keeps_the_accounts(sealed: Courthouse, tmp_path: Path) -> None:
    house = copied(sealed, tmp_path / "house")
    for name in ("valley_court", "town_police"):
        agency = house.agencies[name]
        remap_agency(house.home, load_settings(house.home), agency, ledger=house.ledger,
                     anew=frozenset(agency.feeds), progress=lambda _: None, withdraw=True)  # fmt: skip
    record = house.night()
    assert published(record) == []
    with house.ledger.reading() as connection:
        require_sums_hold(connection)
    assert house.accounts()["withheld", "sealed_by_order"] == 4  # case, part, charge, contact; P1 hides by itself


@pytest.fixture(scope="module")
def expunged(base: Courthouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Courthouse]:
    """The home after an order to expunge; the first night of it is killed before any content is destroyed."""
    house = copied(base, tmp_path_factory.mktemp("expunged") / "house")
    line = {"verdict": "same", "who": "r_ode", "at": now(), "why": "same photograph", "needs": 1}
    with house.ledger.writing() as connection:
        connection.execute(judgement.insert().values(record_l=CONTACT, record_r="valley_court/parties/P1", **line))
    (house.home.root / "work").mkdir(exist_ok=True)
    (house.home.root / "work" / "people.parquet").write_bytes(b"Zorabel Quenniston")  # a killed run left it
    house.order(CASE, CONTACT, kind=Kind.EXPUNGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows.sealing, "purge", _killed)
        assert house.run().failures
    house.night()
    yield house


def _killed(*_: object) -> None:
    raise KeyError("killed")


def test_of_what_is_expunged_no_file_of_the_home_holds_anything(expunged: Courthouse) -> None:
    record = open_record(expunged.home)
    assert published(record) == []
    assert bytes_with(expunged.home.root) == []
    with expunged.ledger.reading() as connection:
        assert connection.execute(sa.select(judgement)).all() == []
        assert [ref for ref in connection.execute(sa.select(order_.c.ref)).scalars() if "C1" in ref] == []
    assert expunged.accounts()["withheld", "expunged_by_order"] == 5
    assert record.table("case").to_pandas().case_ref.tolist() == ["valley_court/cases/C2"]


def test_no_way_brings_an_expunged_record_back_into_any_file(expunged: Courthouse, tmp_path: Path) -> None:
    house = copied(expunged, tmp_path / "house")
    # A person alone, in no case, is no expunged record: the row is kept, and hidden.
    send(house, but=("the person of the case alone", "a row that cannot be split"))
    record = house.night()
    assert published(record) == []
    assert bytes_with(house.home.root) == []
    agency = house.agencies["valley_court"]
    remap_agency(house.home, load_settings(house.home), agency, ledger=house.ledger, anew=frozenset(agency.feeds),
                 progress=lambda _: None, withdraw=True)  # fmt: skip
    assert published(house.night()) == []
    assert bytes_with(house.home.root) == []


def test_a_restored_home_takes_the_orders_up_again(base: Courthouse, expunged: Courthouse, tmp_path: Path) -> None:
    index = tmp_path / "seals.json"
    assert export_seals(expunged.home, expunged.ledger, index) > 5
    assert not [word for word in ("Zorabel", "/C1", 'P1"', "JV") if word in index.read_text("utf-8")]
    restored = copied(base, tmp_path / "restored")
    (restored.home.keys / "seal").write_bytes((expunged.home.keys / "seal").read_bytes())
    assert import_seals(restored.home, restored.ledger, index) > 5
    assert import_seals(restored.home, restored.ledger, index) == 0
    assert published(restored.night()) == []
    assert bytes_with(restored.home.root) == []
    index.write_text(index.read_text("utf-8").replace("27-SO-1", "27-SO-2"), "utf-8")
    with pytest.raises(DeclarationError, match="altered"):
        import_seals(restored.home, restored.ledger, index)


def test_agencies_that_were_told_are_told_to_retract(sealed: Courthouse) -> None:
    with sealed.ledger.reading() as connection:
        rows = connection.execute(sa.select(retraction.c.recipient, retraction.c.cause)).all()
    assert sorted(rows) == [("town_police", "order"), ("valley_court", "order")]


def test_the_proof_finds_nothing_names_nobody_and_is_signed(
    sealed: Courthouse, expunged: Courthouse, base: Courthouse, tmp_path: Path
) -> None:
    for house, kept in ((sealed, {"landing", "batches", "state", "release_index"}), (expunged, set())):
        proof = proof_of(house)
        assert proof.clean, [each for each in proof.told["looked"] if each["found"]]
        assert {each["store"] for each in proof.told["looked"] if each["kept_unseen"]} == kept
        assert {"landing", "batches", "state", "links", "record", "outbound", "ledger"} <= {
            each["store"] for each in proof.told["looked"]
        }
        found = {each["store"]: each["found"] for each in proof.told["looked"]}
        assert (found["state"], found["landing"] > 0) == ((4, True) if kept else (0, False))
        verify(proof.content, proof.signature, public_key(house.home.keys))
        assert not [word for word in ("Zorabel", "/C1", "24-JV-118", "contacts/501") if word in proof.content.decode()]
    # Before the order was carried out, the same search finds it in the record and the links.
    before = copied(base, tmp_path / "before")
    before.order(CASE, CONTACT)
    proof = proof_of(before)
    assert not proof.clean
    found = {each["store"]: each["found"] for each in proof.told["looked"]}
    assert found["record"] > 0
    assert found["links"] > 0


def proof_of(house: Courthouse) -> Proof:
    today = house.today
    with house.ledger.reading() as connection:
        order_id = connection.execute(sa.select(seal_order.c.order_id)).scalar_one()
    index = read_index(house.ledger, house.home.keys, on=today)
    return prove(house.home, house.ledger, house.agencies, index, order_id, exchange="Courthouse", today=today)


def test_a_notice_lies_in_the_outbox_once_and_is_tracked_until_it_is_answered(
    sealed: Courthouse, tmp_path: Path
) -> None:
    house = copied(sealed, tmp_path / "house")
    [notice] = list(house.folders["town_police"].glob("RETRACT_*.json"))
    told = json.loads(notice.read_text("utf-8"))
    assert (told["action"], told["recipient"]) == ("RETRACT", "town_police")
    assert not [
        word for word in ("501", "seal", "Zorabel") if word in notice.read_text("utf-8").replace(told["notice"], "")
    ]
    later = house.today + timedelta(days=60)
    assert {each["stands"] for each in notices(house.ledger, today=later)} == {"overdue"}
    acknowledge(house.home, house.ledger, told["notice"], by="clerk")
    stands = {each["recipient"]: each["stands"] for each in notices(house.ledger, today=later)}
    assert stands == {"town_police": "answered", "valley_court": "overdue"}
    with pytest.raises(DeclarationError, match="answered before"):
        acknowledge(house.home, house.ledger, told["notice"], by="clerk")
    fed = list(house.folders["town_police"].glob("*_persons.csv"))
    assert "withdrawn" in "".join(path.read_text("utf-8") for path in fed)


def test_a_sealed_row_is_told_of_as_one_that_never_was(
    sealed: Courthouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(sealed.home.root)
    with sealed.ledger.reading() as connection:
        of_feed = sa.select(extract.c.extract_id, extract.c.name).where(extract.c.feed == "contacts")
        row = connection.execute(of_feed.where(extract.c.agency == "town_police")).first()
    assert row is not None

    def say(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["kith", *words, "--home", home])
        try:
            status = run_command_line(app)
        except SystemExit as ended:
            status = int(ended.code or 0)
        told = capsys.readouterr()
        return status, told.out + told.err

    for asked, nobody in (
        (("trace", CONTACT), ("trace", "town_police/contacts/599")),
        (("trace", f"{row.extract_id}:1"), ("trace", f"{row.extract_id}:9")),
        (("trace", f"{row.name}:2"), ("trace", f"{row.name}:1")),
        (("quarantine", "show", row.extract_id, "1", "--with-values"),
         ("quarantine", "show", row.extract_id, "9", "--with-values")),
        (("person", CONTACT), ("person", "town_police/contacts/599")),
    ):  # fmt: skip
        status, text = say(*asked)
        other, like = say(*nobody)
        assert status == other != 0
        for was, named in (("record 9", "record 1"), ("line 1", "line 2"), ("contacts/599", "contacts/501")):
            like = like.replace(was, named)
        assert text == like
    assert say("trace", f"{row.name}:3")[0] == 0
