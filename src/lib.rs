//! A traceroute whose evidence is the packets themselves.
pub mod capture;
pub mod driver;
pub mod link;
pub mod probe;
pub mod time;
pub mod trace;
pub mod wire;
