//! From the rows of a key to numbers on a grid: what goes in and what must come out.

#[path = "series/aggregate.rs"]
mod aggregate;
#[path = "series/ask.rs"]
mod ask;
#[path = "series/energy.rs"]
mod energy;
#[path = "series/energy_properties.rs"]
mod energy_properties;
#[path = "series/invariants.rs"]
mod invariants;
#[path = "series/layout.rs"]
mod layout;
#[path = "series/numbers.rs"]
mod numbers;
#[path = "series/upstream.rs"]
mod upstream;
#[path = "series/window.rs"]
mod window;
