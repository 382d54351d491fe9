"""The pydantic model that sequences are, be they synchronous or asynchronous."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from .data_record import DataRecord
from .errors import ArgumentTypeError
from .sequence_base import SequenceBase

__all__ = ["SequenceModel"]


class SequenceModel(BaseModel, SequenceBase[Any]):
    """A sequence of records as a model: its fields and the keys of its records."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    if TYPE_CHECKING:
        # Type checkers make the signature of `__init__` from the fields, and compare a subclass's
        # `records` with this one.
        records: Any = Field(default_factory=list)
        database: Any = None
    else:
        records: list[DataRecord] = Field(
            default_factory=list, description="Records, sorted by time"
        )

    def __init__(self, *, database: Any = None, **data: Any) -> None:
        """Create a sequence.

        Args:
            database: Where its records are kept, such as an open `LMDBDatabase`. Without one the
                records live in memory only. It can be assigned later.
            **data: The fields of the model.
        """
        super().__init__(**data)
        self.database = database

    # Keys

    @classmethod
    def record_class(cls) -> type[Any]:
        """Return the class of the records: the item type of the field `records`.

        Raises:
            ArgumentTypeError: If it is no subclass of `DataRecord`.
        """
        item = (*get_args(cls.model_fields["records"].annotation), None)[0]
        if not (isinstance(item, type) and issubclass(item, DataRecord)):
            raise ArgumentTypeError(
                f"{cls.__name__}.records must be declared as a list of a subclass of DataRecord, "
                f"not of {item!r}"
            )
        return item

    @property
    def record_keys(self) -> list[str]:
        """The keys of a record."""
        return cast("list[str]", self.record_class().record_keys())

    @property
    def record_keys_writable(self) -> list[str]:
        """The keys of a record that can be written."""
        return cast("list[str]", self.record_class().record_keys_writable())

    # Content

    def __bool__(self) -> bool:
        """Return true: an empty sequence is one all the same."""
        return True

    def __repr__(self) -> str:
        """Return a short description that loads nothing."""
        return f"<{type(self).__name__} with {len(self.records)} loaded records>"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the sequence that :meth:`to_dict` described.

        Args:
            data: The fields; `records` is a list of the records' fields.

        Raises:
            ArgumentTypeError: If `data` is no dictionary.
            DuplicateRecordError: If two records have the same second.
        """
        if not isinstance(data, dict):
            raise ArgumentTypeError(f"from_dict() expects a dictionary, not {data!r}")
        records = data.get("records", [])
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise ArgumentTypeError(f"'records' must be a list of dictionaries, not {records!r}")
        sequence = cls.model_validate({**data, "records": []})
        make = sequence.record_class()
        state = sequence._db_enter()
        for fields in records:
            state.insert(make(**fields), True)
        return sequence

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data, with the loaded records."""
        return self.model_dump()
