"""eosdb inside Akkudoktor-EOS: the same program on the same files, faster and safer.

Nothing of EOS is edited. Start it by the runner::

    python -m eosdb.akkudoktoreos -m akkudoktoreos.server.eos

or call :func:`install` before anything of `akkudoktoreos` is imported. Its test suites run by the
pytest plugin, `-p eosdb.akkudoktoreos.pytest_plugin`. Without either, EOS is as ever.
"""

from __future__ import annotations

import sys

from ..errors import UnknownEosError
from . import additions, served
from .findings import Findings, NamespaceFindings, look
from .flavour import DATABASEABC, Flavour, find
from .importing import Finder

__all__ = ["Findings", "Flavour", "NamespaceFindings", "install", "look"]


def install(*, mend: bool = True) -> Flavour:
    """Have Akkudoktor-EOS use eosdb from now on, in this process.

    The module `akkudoktoreos.core.databaseabc` is served by eosdb, its backend for LMDB replaced by
    ours (same files), and `DataSequence`, from which the measurements and all predictions are
    derived, gets our readers. Keys that the setting `measurement` names as meter readings
    (`*_emr_keys`) are compacted as meters. Calling it again is no error, and changes nothing.

    Args:
        mend: Whether to replace methods of EOS's `DataSequence` that lose or distort data:
            `insert_by_datetime` (where there is a record at the same second, EOS drops configured
            values and lets an explicit `None` overwrite), `update_value` of the synchronous EOS
            (which is refused where another thread was faster), `save` and `load` (by what they
            return EOS writes all measurements to a JSON file, and reads old ones from it, though
            the database has them). And whether the server of the synchronous EOS shall save and
            compact regularly, as its configuration says; by an error in it nothing is done.

    Returns:
        The EOS that was found.

    Raises:
        MissingDependencyError: If there is no package `akkudoktoreos`.
        UnknownEosError: If it is of a version that eosdb does not know, or was imported already.
    """
    flavour = find()
    for finder in sys.meta_path:
        if isinstance(finder, Finder):
            return flavour
    changed = {
        "akkudoktoreos.core.database": additions.to_database(flavour),
        "akkudoktoreos.core.dataabc": additions.to_dataabc(flavour, mend=mend),
    }
    if mend and not flavour.is_asynchronous:
        changed["akkudoktoreos.server.retentionmanager"] = additions.to_retentionmanager
    begun = [name for name in (DATABASEABC, *changed) if name in sys.modules]
    if begun:
        raise UnknownEosError(
            f"'{begun[0]}' was imported already: call eosdb.akkudoktoreos.install() before you "
            "import anything of akkudoktoreos"
        )
    sys.meta_path.insert(0, Finder({DATABASEABC: served.fill(flavour)}, changed))
    return flavour
