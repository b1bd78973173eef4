//! A global allocator that counts, for each thread by itself: tests that run at the same time do not
//! disturb one another.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// How many allocations this thread has made so far; to make one larger is one more.
pub fn allocations() -> u64 {
    MADE.get()
}

/// How many bytes they were in all, never mind what was freed.
pub fn bytes() -> u64 {
    BYTES.get()
}

/// How many bytes this thread has allocated and not freed. It goes down with what another thread allocated.
pub fn live() -> i64 {
    LIVE.get()
}

fn count(size: usize) {
    MADE.set(MADE.get() + 1);
    BYTES.set(BYTES.get() + size as u64);
    LIVE.set(LIVE.get().wrapping_add_unsigned(size as u64));
}

fn uncount(size: usize) {
    LIVE.set(LIVE.get().wrapping_sub_unsigned(size as u64));
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is handed on to the system's allocator as it came. The counters are neither
// allocated nor dropped, so that counting does not call back in here.
#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        uncount(layout.size());
        count(size);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        uncount(layout.size());
        unsafe { System.dealloc(at, layout) }
    }
}
