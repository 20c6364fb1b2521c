"""Separators no parser takes (a record that ends in a dagger): put in the place of others before, restored after."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from mappings.formats import DELIMITED_AS, Format

_BREAKS = {"\n": "\x1e", "\r": "\x1d"}
"""What stands for a line break within a value while records end in something else."""


class Separators:
    """The characters that part one file's fields and records, where they are not those the parser knows.

    Attributes:
        form: The format as the parser is told of it.
        stand_ins: Characters that have a meaning of their own while the file is parsed, so that no value may hold them.
    """

    def __init__(self, form: Format) -> None:
        self._end = form.line_end
        self._delimiter = form.delimiter if not form.delimiter.isascii() else None
        self._held = ""
        self.form = form if self._delimiter is None else form.model_copy(update={"delimiter": DELIMITED_AS})
        self._sent = {} if self._delimiter is None else {DELIMITED_AS: self._delimiter}
        if self._end is not None:
            self._sent |= {stand_in: sent for sent, stand_in in _BREAKS.items()}
        self.stand_ins = "".join(c for c in self._sent if c not in (self._end, form.delimiter))
        self._breaks = re.compile(f"{re.escape(self._end or '')}(?:\r\n|\n|\r)?|\n|\r")

    def parsable(self, text: str, *, final: bool) -> str:
        """A piece of the file as it can be parsed; a record's end that may go on in the next piece is kept for it."""
        if self._end is not None:
            text = self._held + text
            cut = 0 if final else len(text) - len(text.rstrip("\r").removesuffix(self._end))
            self._held, text = (text[-cut:], text[:-cut]) if cut else ("", text)
            text = self._breaks.sub(self._break, text)
        return text if self._delimiter is None else text.replace(self._delimiter, DELIMITED_AS)

    def _break(self, found: re.Match[str]) -> str:
        return _BREAKS.get(found.group(), "\n")

    def restore(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Records with the characters that were sent."""
        columns = batch.columns
        for stand_in, sent in self._sent.items():
            columns = [pc.replace_substring(c, stand_in, sent) if c.type == pa.string() else c for c in columns]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
