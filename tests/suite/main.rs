//! The integration tests, all in one binary.

mod allocations;
mod architecture;
mod back;
mod cli;
mod config;
mod golden;
mod golden_forms;
mod golden_law;
mod laws;
mod live;
mod lookups;
mod maps;
mod mmdb;
mod mtu;
mod nat;
mod paths;
mod prometheus;
mod report;
mod rotation;
mod rounds;
mod scout;
mod screen;
mod stream;
mod support;
mod tools;
