//! Live tests: the program against real Linux routers, in network namespaces of their own.
//!
//! What the tests compare with is not rtrace's own word: traceroute in the same lab, the stamps that
//! tcpdump took of the same frames, tshark's reading of a recording. They need root and say so loudly
//! when they are skipped without it; with `CI=true` in the environment a skip is a failure.

mod agreement;
mod back;
mod concurrency;
mod confinement;
mod drops;
mod endings;
mod forged;
mod inspect;
mod interfaces;
pub(crate) mod lab;
mod lookups;
mod mtu;
mod nat;
mod never_sent;
mod outages;
mod paths;
mod readers;
mod reflected;
mod report;
mod resources;
mod scout;
mod several;
mod stamps;
mod stopped;
pub(crate) mod text;
mod unprivileged;
