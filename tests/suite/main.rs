//! The integration tests, all in one binary.

mod architecture;
mod cli;
mod golden;
mod golden_forms;
mod golden_law;
mod laws;
mod live;
mod nat;
mod paths;
mod rounds;
mod scout;
mod support;
mod tools;
