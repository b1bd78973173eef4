//! The heart: from captured frames to the path they show.
//!
//! [`Tracer`] takes frames and times and gives probes to send, events, and the [`Path`]. What it
//! reports is a function of its configuration and the frames alone; what it sends is decided beside
//! that, in `schedule`, and a replay does without. No IO happens here and no clock is read.

mod answers;
pub mod belief;
pub mod branches;
pub mod builder;
pub mod changes;
mod claim;
pub mod config;
mod correlate;
mod datagram;
mod deadlines;
mod doubts;
pub mod endpoint;
mod engine;
mod event;
pub mod inspect;
mod lenient;
pub mod limit;
pub mod loops;
pub mod loss;
mod measurement;
pub mod mtu;
mod packed;
pub mod path;
pub mod paths;
mod probe_selector;
mod proof;
pub mod reach;
mod replies;
pub mod reply;
mod reply_names;
mod rewritten;
pub mod rounds;
mod schedule;
mod shares;
pub mod summary;
pub mod survey;
pub mod table;
mod tool;
mod tracer;
pub mod verdict;

pub use builder::TraceBuilder;
pub use config::{ConfigError, TraceConfig, Wait};
pub use datagram::Packet;
pub use engine::Engine;
pub use event::{Disposition, Event};
pub use measurement::{Measurement, RecordedRun};
pub use path::{Hop, Outcome, Path, Probe, ProbeRef, Round, SizeProbe, Stop};
pub use probe_selector::{Listed, ProbeSelector};
pub use replies::{Contradicted, Replies};
pub use reply::{Quote, Reply, ReplyKind};
pub use tracer::Tracer;
