//! The names of time zones that are known to exist.
//!
//! Which zones there are only Python's time zone library knows. A stored value that names another
//! one is damaged; so a name counts as plain data only after the library has accepted it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

static KNOWN: RwLock<Option<HashSet<String>>> = RwLock::new(None);

thread_local! {
    /// The name that was asked for last: most rows of a file have the same.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes that there is a zone of this name.
pub fn know(name: &str) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().insert(name.to_owned());
}

/// Tells whether a zone of this name is known to exist.
#[must_use]
pub fn is_known(name: &str) -> bool {
    LAST.with_borrow_mut(|last| {
        if last.as_deref() == Some(name) {
            return true;
        }
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.as_ref().is_some_and(|known| known.contains(name));
        if found {
            *last = Some(name.to_owned());
        }
        found
    })
}
