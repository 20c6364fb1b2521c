"""The registers of the control plane that are only ever added to: consents, overrides, refusals, seals, retractions."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
_TEXT, _INT = sa.Text(), sa.BigInteger()

consent_record = sa.Table(
    "consent_record",
    METADATA,  # given, withheld or withdrawn on paper, as the exchange wrote it down; rows are never changed
    sa.Column("consent_id", _TEXT, primary_key=True),
    sa.Column("subject", _TEXT, nullable=False, index=True),  # agency/table/key
    sa.Column("recipients", _TEXT, nullable=False),  # several are separated by a blank here and below
    sa.Column("purposes", _TEXT, nullable=False),
    sa.Column("classes", _TEXT, nullable=False),
    sa.Column("decision", _TEXT, nullable=False),  # granted | withheld | withdrawn
    sa.Column("grantor", _TEXT, nullable=False),  # subject | parent | guardian | court
    sa.Column("authority", _TEXT, nullable=False),
    sa.Column("document_sha256", _TEXT, nullable=False),
    sa.Column("since", _TEXT, nullable=False),
    sa.Column("until", _TEXT, nullable=False),
    sa.Column("recorded_by", _TEXT, nullable=False),
    sa.Column("recorded_at", _TEXT, nullable=False),
    sa.Column("withdraws", _TEXT),
)
override_record = sa.Table(
    "override_record",
    METADATA,  # shared although consent is withheld; counts with an agreeing review of a second person
    sa.Column("override_id", _TEXT, primary_key=True),
    sa.Column("subject", _TEXT, nullable=False, index=True),
    sa.Column("recipients", _TEXT, nullable=False),
    sa.Column("purposes", _TEXT, nullable=False),
    sa.Column("classes", _TEXT, nullable=False),
    sa.Column("basis", _TEXT, nullable=False),
    sa.Column("evidence_sha256", _TEXT, nullable=False),
    sa.Column("until", _TEXT, nullable=False),
    sa.Column("decided_by", _TEXT, nullable=False),
    sa.Column("decided_at", _TEXT, nullable=False),
    sa.Column("notify_family", sa.Boolean, nullable=False),
    sa.Column("why_not_notified", _TEXT),
)
override_review = sa.Table(
    "override_review",
    METADATA,
    sa.Column("override_id", _TEXT, primary_key=True),
    sa.Column("agreed", sa.Boolean, nullable=False),
    sa.Column("reviewed_by", _TEXT, nullable=False),
    sa.Column("reviewed_at", _TEXT, nullable=False),
)
decision_refused = sa.Table(
    "decision_refused",
    METADATA,  # what a release refused, by tuple; never a value and never a person
    sa.Column("refused_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", _TEXT, nullable=False),
    sa.Column("policy", _TEXT, nullable=False),
    sa.Column("recipient", _TEXT, nullable=False),
    sa.Column("purpose", _TEXT, nullable=False),
    sa.Column("day", _TEXT, nullable=False),
    sa.Column("snapshot_id", _TEXT, nullable=False),
    sa.Column("agency", _TEXT, nullable=False),
    sa.Column("table_name", _TEXT, nullable=False),
    sa.Column("column_name", _TEXT, nullable=False),
    sa.Column("class", _TEXT, nullable=False),
    sa.Column("flags", _TEXT, nullable=False),
    sa.Column("reason", _TEXT, nullable=False),
    sa.Column("cells", _INT, nullable=False),
)

seal_order = sa.Table(
    "seal_order",
    METADATA,  # a court's order that was written down by hand; what it covers stands in seal_mark
    sa.Column("order_id", _TEXT, primary_key=True),
    sa.Column("order_no", _TEXT, nullable=False),
    sa.Column("court", _TEXT, nullable=False),
    sa.Column("kind", _TEXT, nullable=False),  # seal | expunge | restrict
    sa.Column("effective", _TEXT, nullable=False),
    sa.Column("verify_by", _TEXT),
    sa.Column("added_by", _TEXT, nullable=False),
    sa.Column("added_at", _TEXT, nullable=False),
)
seal_act = sa.Table(
    "seal_act",
    METADATA,  # what became of an order
    sa.Column("act_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("order_id", _TEXT, nullable=False, index=True),
    sa.Column("act", _TEXT, nullable=False),  # approved | refused | lifted | proved
    sa.Column("who", _TEXT, nullable=False),
    sa.Column("at", _TEXT, nullable=False),
    sa.Column("why", _TEXT, nullable=False),
)
seal_mark = sa.Table(
    "seal_mark",
    METADATA,  # the seal index (store.seal_index): keyed hashes, no key and no name
    sa.Column("mark_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("mark", _TEXT, nullable=False, index=True),
    sa.Column("exact", _TEXT),
    sa.Column("place", _TEXT, nullable=False),  # agency/table
    sa.Column("what", _TEXT, nullable=False),  # key | event | row | container
    sa.Column("reason", _TEXT, nullable=False),
    sa.Column("order_id", _TEXT, nullable=False, index=True),
)
retraction = sa.Table(
    "retraction",
    METADATA,  # a recipient who is told that what it received must go
    sa.Column("notice_id", _TEXT, primary_key=True),
    sa.Column("cause", _TEXT, nullable=False),  # order | consent
    sa.Column("of", _TEXT, nullable=False, index=True),  # the order or the consent
    sa.Column("recipient", _TEXT, nullable=False),
    sa.Column("releases", _TEXT, nullable=False),  # ids, separated by blanks; empty: feeds back
    sa.Column("answer_by", _TEXT, nullable=False),
    sa.Column("written_at", _TEXT, nullable=False),
)
retraction_act = sa.Table(
    "retraction_act",
    METADATA,  # that it was sent, that it was answered
    sa.Column("act_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("notice_id", _TEXT, nullable=False, index=True),
    sa.Column("act", _TEXT, nullable=False),  # sent | acknowledged
    sa.Column("who", _TEXT, nullable=False),
    sa.Column("at", _TEXT, nullable=False),
)


def make_registers(connection: sa.Connection) -> None:
    """Makes the registers; what is written there cannot be changed or taken away."""
    METADATA.create_all(connection)
    for table in METADATA.sorted_tables:
        keep_as_written(connection, table)


def keep_as_written(connection: sa.Connection, table: sa.Table) -> None:
    """Makes the database itself refuse to change or delete rows of a table."""
    name = table.name
    if connection.dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            connection.execute(sa.text(
                f"CREATE TRIGGER IF NOT EXISTS {name}_no_{act.lower()} BEFORE {act} ON {name}"
                " BEGIN SELECT RAISE(ABORT, 'rows of this register are never changed'); END"
            ))  # fmt: skip
        return
    connection.execute(sa.text(
        "CREATE OR REPLACE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'rows of this register are never changed'; END $$"
    ))  # fmt: skip
    connection.execute(sa.text(
        f"CREATE OR REPLACE TRIGGER {name}_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}"
        " FOR EACH STATEMENT EXECUTE FUNCTION never_changed()"
    ))  # fmt: skip
