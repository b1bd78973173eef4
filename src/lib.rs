//! A traceroute whose evidence is the packets themselves.
//!
//! rtrace crafts whole IP datagrams, sends them, captures what really left and what really came back,
//! and computes everything it reports from those captured frames. The recording *is* the trace:
//! replaying it gives the same report.
//!
//! The tour, from the bottom up: [`time`] and [`wire`] are values and bytes; [`probe`] makes probes and
//! recognises them; [`trace`] turns frames into a path and decides what to send; a [`link`] is a
//! network: live, simulated, or a recording read by [`capture`]; [`driver`] is the loop between the two;
//! [`render`] writes reports. None but the links touches the outside world.
//!
//! The loop of [`driver::run`], in its barest form, over a simulated network:
//!
//! ```
//! use rtrace::link::sim::{SimLink, Topology};
//! use rtrace::link::{Link, Received};
//! use rtrace::trace::{Engine, TraceConfig, Tracer};
//!
//! let topology = Topology::builtin();
//! let config = TraceConfig::new(topology.source().into(), [203, 0, 113, 9].into(), 54_321);
//! let mut tracer = Tracer::new(config)?;
//! let mut link = SimLink::new(topology);
//! while !tracer.is_done() {
//!     while let Some(transmit) = tracer.poll_transmit(link.now()) {
//!         link.send(&transmit)?;
//!     }
//!     match link.receive(tracer.poll_timeout())? {
//!         Received::Frame(frame) => {
//!             tracer.handle_frame(&frame);
//!         }
//!         Received::Quiet(at) => tracer.handle_timeout(at),
//!         Received::ClockStep(step) => tracer.note_clock_step(&step),
//!         Received::End | Received::Cut(_) => break,
//!         _ => {}
//!     }
//!     while let Some((event, _)) = tracer.poll_event() {
//!         println!("{event:?}");
//!     }
//! }
//! tracer.finish();
//! assert!(tracer.path().reached());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod capture;
pub mod cli;
pub mod compare;
pub mod enrich;
pub mod link;
pub mod metrics;
pub mod player;
pub mod privilege;
pub mod recording;
pub mod render;
pub mod replay;
pub mod sandbox;
pub mod schema;

pub use rtrace_core::{chance, driver, probe, time, trace, untrusted, wire};
