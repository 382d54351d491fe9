//! How changes of an environment are noticed and counted, whoever made them.

use std::collections::HashMap;

use super::Namespace;

/// What is known about changes, for [`Environment::generation`].
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The newest transaction that is accounted for below, and visible to read transactions.
    pub known: usize,
    /// The transaction that a store of this process is committing just now, or 0.
    pub in_flight: usize,
    /// How often others have, or may have, changed anything.
    pub by_others: u64,
    /// How often stores of this process have changed each namespace.
    pub by_us: HashMap<String, u64>,
}

impl Changes {
    pub(super) fn generation(&self, namespace: Namespace<'_>) -> u64 {
        // Both only grow, so their sum changes if either does.
        self.by_others + self.by_us.get(namespace.unwrap_or_default()).unwrap_or(&0)
    }

    /// The generation that transaction `id`, which has not ended yet, builds on.
    pub(super) fn before(&self, id: usize, namespace: Namespace<'_>) -> u64 {
        self.generation(namespace) + u64::from(self.known + 1 < id)
    }
}
