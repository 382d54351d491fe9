//! Taking turns: what goes on for long while it is attached yields to others now and then.

use pyo3::prelude::*;

use super::state::Shared;
use crate::sequence::Slot;

/// How much goes on at a time while others wait: a few milliseconds' worth of objects on a small
/// machine.
pub const TURN: usize = 256;

/// Lets others run: a signal handler, and every thread that waits for the interpreter, of which one
/// may be an event loop's.
pub fn yield_to_others(py: Python<'_>) -> PyResult<()> {
    py.check_signals()?;
    py.detach(|| ());
    Ok(())
}

/// Lets go of what rows held, yielding to others.
pub fn let_go(py: Python<'_>, gone: Vec<Slot<Shared>>) {
    for (count, slot) in gone.into_iter().enumerate() {
        if count % TURN == TURN - 1 {
            py.detach(|| ());
        }
        drop(slot);
    }
}
