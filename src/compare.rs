//! Two traces of one path, or two maps of all paths, compared: what is gone, come or changed since the first.
//!
//! What is compared are JSON documents ([`document`]), into which recordings are replayed first, so what is told is a function of
//! the two. Traces go hop by hop: [`hops`], with [`rewrites`] and [`shifts`] of RTTs. Maps go by routers and links: [`maps`].

pub mod align;
pub mod document;
mod evidence;
pub mod hops;
pub mod maps;
pub mod ranks;
pub mod rewrites;
pub mod shifts;
#[cfg(test)]
mod tests;
pub mod trace;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

pub use document::ParseError;
pub use hops::compare;
pub use trace::Trace;

/// The version of the form of a comparison; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The target of a trace.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
}

/// Something before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair<T> {
    /// In the first trace.
    pub before: T,
    /// In the second.
    pub after: T,
}

/// What the document of a comparison begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    format: &'static str,
    version: u32,
    /// The address that both traced.
    pub target: IpAddr,
}

impl Head {
    fn to(target: IpAddr) -> Self {
        Self { format: "rtrace-diff", version: VERSION, target }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::to(Ipv4Addr::UNSPECIFIED.into())
    }
}
