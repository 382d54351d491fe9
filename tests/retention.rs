//! Compaction: which buckets are due, what replaces the readings in them, and what must not change.

#[path = "retention/consolidate.rs"]
mod consolidate;
#[path = "retention/meter.rs"]
mod meter;
#[path = "retention/properties.rs"]
mod properties;
#[path = "retention/runs.rs"]
mod runs;
#[path = "retention/table.rs"]
mod table;
#[path = "retention/tiers.rs"]
mod tiers;
