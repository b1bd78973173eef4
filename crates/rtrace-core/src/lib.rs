//! The core of rtrace: from captured frames to the path they show, and what to send next.
//!
//! It does no IO and reads no clock. A [`link`] is a network: this crate has the trait, and whoever uses it has
//! the sockets. The tour, from the bottom up: [`time`] and [`wire`] are values and bytes; [`probe`] makes probes
//! and recognises them; [`trace`] turns frames into a path and decides what to send; [`driver`] is the loop that
//! runs an [endpoint](trace::endpoint) with its traces over a link.
//!
//! A trace over a network that answers nothing; each probe is captured on its way out:
//!
//! ```
//! use rtrace_core::time::{Span, Timestamp};
//! use rtrace_core::trace::{Engine, TraceConfig, Tracer};
//! use rtrace_core::wire::{Frame, LinkType};
//!
//! let config = TraceConfig::builder([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 54_321)
//!     .hops(1..=4)
//!     .build()?;
//! let mut tracer = Tracer::new(config)?;
//! let mut at = Timestamp::from_nanos(0);
//! while let Some(transmit) = tracer.poll_transmit(at) {
//!     let datagram = transmit.datagram.to_vec();
//!     tracer.handle_frame(&Frame::whole(at, LinkType::Raw, &datagram));
//!     at = at.after(Span::from_millis(1));
//! }
//! while let Some(deadline) = tracer.poll_timeout() {
//!     tracer.handle_timeout(deadline);
//! }
//! assert_eq!((tracer.path().totals.sent, tracer.path().totals.answered), (12, 0));
//! # Ok::<(), rtrace_core::trace::ConfigError>(())
//! ```
//!
//! Configurations are made by [builders](trace::builder), which check them. Enums and structs that will grow are
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
