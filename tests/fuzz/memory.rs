//! What a piece of work allocates, counted for its own thread.
#![expect(unsafe_code, reason = "an allocator is unsafe by nature; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes that this thread has allocated: now, at most since last asked, and altogether.
#[derive(Clone, Copy, Default)]
struct Count {
    now: isize,
    peak: isize,
    total: usize,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { now: 0, peak: 0, total: 0 }) };
}

/// The system's allocator, which counts.
pub struct Counting;

fn count(grown: usize, shrunk: usize) {
    // A thread that ends frees its memory when its count is gone already.
    let _ = COUNT.try_with(|cell| {
        let mut count = cell.get();
        count.now += grown.cast_signed() - shrunk.cast_signed();
        count.peak = count.peak.max(count.now);
        count.total += grown;
        cell.set(count);
    });
}

// SAFETY: every call is handed on as it is; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps to the contract of the same method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps to the contract of the same method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller keeps to the contract of the same method.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // As if it were moved: the old block and the new one exist side by side.
        count(size, 0);
        count(0, layout.size());
        // SAFETY: the caller keeps to the contract of the same method.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What work allocated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// The most bytes at one time, beyond those before it began.
    pub peak: usize,
    /// All bytes together, however short-lived. Unlike time, it is the same on every machine.
    pub total: usize,
}

/// Does `work`, and tells what it allocated in this thread.
pub fn cost(work: impl FnOnce()) -> Cost {
    let before = COUNT.with(|cell| {
        let count = cell.get();
        cell.set(Count { peak: count.now, ..count });
        count
    });
    work();
    let after = COUNT.with(Cell::get);
    Cost { peak: (after.peak - before.now).unsigned_abs(), total: after.total - before.total }
}
