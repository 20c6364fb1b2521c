"""How the exchange says that something is wrong: what, where, and how to mend it; never a person's value."""

from __future__ import annotations


class ExchangeError(Exception):
    """Something a person must act on.

    Args:
        what: What is wrong, in one sentence, without any value of a person.
        where: The place a person can open: file and line, table, source or command.
        mend: What to do about it.
    """

    exit_status = 1

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__(what, where, mend)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.mend:
            parts.append(f"mend: {self.mend}")
        return "\n  ".join(parts)


class DeclarationError(ExchangeError):
    """A YAML or CSV declaration, or a setting, cannot be taken as it is written."""

    exit_status = 3


class SourceError(ExchangeError):
    """A source cannot be reached, refuses us, or is not the one that was pinned."""

    exit_status = 4


class ExtractError(ExchangeError):
    """An extract is held or cannot be read."""

    exit_status = 5


class AccountError(ExchangeError):
    """The accounts of an extract do not add up; nothing is published."""

    exit_status = 6


class LinkageError(ExchangeError):
    """Persons cannot be linked with the model and the input given."""

    exit_status = 7


class PublishError(ExchangeError):
    """A snapshot cannot be published or read."""

    exit_status = 8


class BusyError(ExchangeError):
    """Another run holds the home."""

    exit_status = 9


class JudgementError(ExchangeError):
    """A judgement of two mentions cannot be taken: it contradicts others, was made already or needs another person."""

    exit_status = 10


class AuditError(ExchangeError):
    """The audit log cannot be written, or is not as it was written; what it should tell of is not done."""

    exit_status = 11


class EncryptionError(ExchangeError):
    """A key is not there or was destroyed, or what is encrypted was changed."""

    exit_status = 12
