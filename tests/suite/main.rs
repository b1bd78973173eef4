//! The integration tests, all in one binary.

mod allocations;
mod architecture;
mod cli;
mod golden;
mod golden_forms;
mod golden_law;
mod laws;
mod live;
mod nat;
mod rounds;
mod scout;
mod screen;
mod support;
mod tools;
