//! The core of rtrace: from captured frames to the path they show, and what to send next.
//!
//! It does no IO and reads no clock. A [`link`] is a network: this crate has the trait, and whoever uses it has
//! the sockets. The tour, from the bottom up: [`time`] and [`wire`] are values and bytes; [`probe`] makes probes
//! and recognises them; [`trace`] turns frames into a path and decides what to send; [`driver`] is the loop that
//! runs an [endpoint](trace::endpoint) with its traces over a link.
//!
//! Enums and structs that will grow are
//! `non_exhaustive`; closed sets and small records that callers write, such as [`Wait`](trace::Wait), are not. The
//! feature `exhaustive` lifts that from what reports show, for a program that wants to learn from the compiler what its
//! reports lack. It then depends on one version of this crate (`=`), as `rtrace` does.
//!
//! All that is reported follows from the configuration and the captured frames. A probe is sent when its own
//! frame is captured, and an RTT is the difference of two capture stamps.

#![forbid(unsafe_code)]

pub mod chance;
pub mod driver;
pub mod link;
pub mod probe;
pub mod time;
pub mod trace;
pub mod untrusted;
pub mod wire;
