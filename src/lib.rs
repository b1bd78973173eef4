//! A traceroute whose evidence is the packets themselves.
pub mod capture;
pub mod enrich;
pub mod link;
pub mod privilege;
pub mod time;
pub mod wire;
