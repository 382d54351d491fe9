"""A record as it is stored, for readers that do not know its class."""

from __future__ import annotations

from typing import Any, ClassVar

from .datetimes import DateTime, to_datetime

__all__ = ["StoredRecord"]


class StoredRecord(dict[str, Any]):
    """The values of a stored record by name, configured ones too, whatever they are.

    Attributes:
        zone: The name of the zone that times are shown in; `None` for the zone that is stored.
    """

    zone: ClassVar[str | None] = None

    def __init__(self, /, **fields: Any) -> None:
        """Take over what is stored.

        Args:
            **fields: The fields; of a field and a configured value with the same name the field
                counts.
        """
        configured = fields.get("configured_data")
        if isinstance(configured, dict):
            del fields["configured_data"]
            fields = {**configured, **fields}
        if self.zone is not None:
            fields["date_time"] = to_datetime(fields["date_time"], in_timezone=self.zone)
        super().__init__(fields)

    @property
    def date_time(self) -> DateTime:
        """The instant of the record."""
        date_time: DateTime = self["date_time"]
        return date_time

    @property
    def configured_data(self) -> dict[str, Any]:
        """The values by name."""
        return self
