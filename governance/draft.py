"""Drafts of agreements, taken from what agencies declare: every feed, every class reached, a basis for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import yaml

from governance.coverage import needed_classes
from governance.rules import bases_serving, classes, legal_bases
from mappings.load import Agency
from standard.sensitivity import Sensitivity

Evidence = Mapping[str, str]


def memorandum(name: str, *, members: Sequence[str], purposes: Sequence[str], effective: date, expires: date) -> str:
    """The text of a memorandum of understanding: who and why."""
    return _text({
        "id": name, "kind": "MOU", "title": "Memorandum of understanding on the exchange",
        "parties": {"members": list(members)}, "purpose": list(purposes),
        "effective": effective, "expires": expires,
    })  # fmt: skip


def sharing(
    name: str, agency: Agency, *, parent: str, hub: str, purposes: Sequence[str], effective: date, expires: date,
    evidence: Evidence | None = None,
) -> str:  # fmt: skip
    """The text of a sharing agreement that lets in every feed an agency declares.

    Args:
        name: Its id.
        agency: Who gives.
        parent: Id of the memorandum.
        hub: The party that keeps the exchange.
        purposes: What for.
        effective: First day.
        expires: Last day.
        evidence: Evidence by its key (`statute`); what is not given is left blank, to be filled in.
    """
    wanted = sorted(needed_classes(agency), key=list(Sensitivity).index)
    may_come = [name for name in wanted if not classes().classes[name].never_in]
    return _text({
        "id": name, "kind": "DSA", "title": f"{agency.name} shares with the exchange", "parent": parent,
        "parties": {"discloser": [agency.agency], "recipient": hub},
        **_content(purposes, may_come, [f"{feed}.*" for feed in agency.feeds], evidence),
        "effective": effective, "expires": expires,
    })  # fmt: skip


def use(
    name: str, *, disclosers: Sequence[str], recipient: str, parent: str, purposes: Sequence[str],
    fields: Sequence[str], sensitivities: Iterable[Sensitivity], need_to_know: str, effective: date, expires: date,
    evidence: Evidence | None = None,
) -> str:  # fmt: skip
    """The text of a data use agreement; see `sharing`. `fields` are `table.column` of the record, with * for any."""
    wanted = sorted(set(sensitivities), key=list(Sensitivity).index)
    return _text({
        "id": name, "kind": "DUL", "title": f"Use of the record by {recipient}", "parent": parent,
        "parties": {"discloser": list(disclosers), "recipient": recipient},
        **_content(purposes, wanted, fields, evidence, need_to_know),
        "effective": effective, "expires": expires,
    })  # fmt: skip


def _content(
    purposes: Sequence[str], wanted: Sequence[Sensitivity], fields: Sequence[str], evidence: Evidence | None,
    need_to_know: str = "none",
) -> dict[str, Any]:  # fmt: skip
    notices = [rule.notice for name in wanted if (rule := classes().classes[name]).notice]
    return {
        "purpose": list(purposes),
        "legal_basis": [
            {"basis": name, "evidence": {key: (evidence or {}).get(key, "") for key in legal_bases()[name].evidence}}
            for name in bases_for(wanted)
        ],
        "subjects": {
            "who": "Children and young people known to the parties, and their families",
            "age_bands": ["minor", "adult", "unknown"], "need_to_know": need_to_know,
        },
        "fields": {"allow": list(fields), "deny": []},
        "classes": [str(name) for name in wanted],
        "linkage": {"allowed": True},
        "redisclosure": {"allowed": False, "notice": notices},
        "aggregates": {"min_cell": 11, "complementary": True},
        "destruction": {"within_days": 45, "method": "crypto_shred", "certificate": True},
    }  # fmt: skip


def bases_for(wanted: Iterable[Sensitivity]) -> list[str]:
    """Legal bases of the closed list that hold for these classes: the one that holds for fewest goes first."""
    found: list[str] = []
    narrow_first = sorted((name for name, b in legal_bases().items() if not b.consent),
                          key=lambda name: (len(legal_bases()[name].serves), legal_bases()[name].override))  # fmt: skip
    for sensitivity in wanted:
        if not bases_serving(sensitivity, found):
            serving = bases_serving(sensitivity, narrow_first) or bases_serving(sensitivity, legal_bases())
            found.append(serving[0])
    return found


def _text(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
