//! A traceroute whose evidence is the packets themselves.
pub mod capture;
pub mod link;
pub mod time;
pub mod wire;
