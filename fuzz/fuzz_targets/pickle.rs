//! Pickles, by libFuzzer.
//!
//! With cargo-fuzz and a nightly compiler, `cargo +nightly fuzz run pickle` runs it in the project's
//! folder; the other targets go by their names. `tests/golden/pickle` is a good corpus to begin with.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
#[expect(dead_code, reason = "each of these programs runs one of the targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (targets::PICKLE.check)(bytes));
