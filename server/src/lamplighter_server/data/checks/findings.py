"""What a check finds: a code, a sentence and what to do. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec


class Rule(NamedTuple):
    """One row of the catalogue."""

    blocks: bool
    remedy: str


#: Every finding that there is; docs/reference/dataset-file.md lists them.
RULES: Final[dict[str, Rule]] = {
    "EMPTY": Rule(True, "Give at least one row."),
    "MIXED_TYPES": Rule(
        True, "Correct the cells, list them under 'nulls', or declare the column's kind."
    ),
    "RANGE": Rule(True, "Correct the values, or the column's 'min', 'max' or 'categories'."),
    "REQUIRED": Rule(True, "Fill the cells, drop the rows, or take 'required' back."),
    "NULLS": Rule(False, "Find out why cells are empty; the model learns from what is left."),
    "NOT_A_NUMBER": Rule(False, "Leave such cells empty, so that they are imputed on purpose."),
    "INFINITE": Rule(True, "Correct the cells; no estimator takes them."),
    "CONSTANT": Rule(False, "Drop the column: it tells nothing."),
    "MANY_CATEGORIES": Rule(
        True, "Group the values, give the column the role identifier, or drop it."
    ),
    "IDENTIFIER_LIKE": Rule(
        False, "If it names the row, give it the role identifier: a model learns rows by heart."
    ),
    "PERSONAL": Rule(
        True, "Declare its role: personal (kept as keyed hash) or drop; see how-to/datasets.md."
    ),
    "IMAGE_SIZES": Rule(False, "Resize the images before training: models need one size."),
    "DUPLICATE_ROWS": Rule(
        False, "Remove them, or split by group: a copy in both parts of a split flatters the model."
    ),
    "DUPLICATE_IDENTIFIERS": Rule(True, "Correct the identifiers, or give them the role group."),
    "DUPLICATES_ACROSS_SPLIT": Rule(
        False, "Remove the copies, or split by a group that holds them together."
    ),
    "LABEL_NONE": Rule(False, "Declare it with --role COLUMN=label, if there is one."),
    "LABEL_MISSING": Rule(True, "Label the rows, or leave them out."),
    "ONE_CLASS": Rule(True, "Add rows of other classes."),
    "IMBALANCE": Rule(False, "Add rows of the rare class, or measure by class."),
    "LEAKAGE": Rule(
        True, "If it is known only after the fact, drop it; if not: 'checks: allow: [LEAKAGE]'."
    ),
    "TIME_LEAKAGE": Rule(True, "Drop the column: it tells of a time after the row's own."),
    "TIME_ORDER": Rule(False, "Split by time: a random split would look into the future."),
    "LABEL_NOISE": Rule(False, "Look at the rows that are named; labels may be wrong there."),
    "SCHEMA_CHANGED": Rule(
        True, "Correct the source; if the change is meant: 'checks: allow: [SCHEMA_CHANGED]'."
    ),
    "SCHEMA_DECLARED": Rule(
        False, "Nothing, if it is meant; what is trained next sees the columns as they are now."
    ),
    "SHIFTED": Rule(False, "Compare the versions: 'lamplighter data diff'."),
    "RETENTION_DUE": Rule(True, "Delete what is due: 'lamplighter data expire'."),
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check says of one dataset."""

    code: str
    column: str
    """Empty if it is about all of them."""
    sentence: str
    blocks: bool

    @property
    def remedy(self) -> str:
        """What to do."""
        return RULES[self.code].remedy


def finding(code: str, sentence: str, column: str = "") -> Finding:
    """A finding with the severity of its rule."""
    return Finding(code=code, column=column, sentence=sentence, blocks=RULES[code].blocks)


def with_allowed(findings: Iterable[Finding], allowed: frozenset[str]) -> list[Finding]:
    """The findings, what blocks first; what is allowed on purpose only warns."""
    judged = [
        msgspec.structs.replace(found, blocks=found.blocks and found.code not in allowed)
        for found in findings
    ]
    return sorted(judged, key=lambda found: not found.blocks)


def blocking(findings: Iterable[Finding]) -> list[Finding]:
    """Those that block."""
    return [found for found in findings if found.blocks]
