//! The edge between traces and a network: live, simulated, or a recording.
//!
//! A link takes whole IP datagrams and gives captured frames, ours included, each with the stamp of
//! the capture clock. The driver knows no more than this trait; that is why live runs, replays and
//! simulations are interchangeable.

use std::net::IpAddr;

pub use crate::probe::Transmit;
use crate::time::{ClockStep, Timestamp};
use crate::untrusted::Untrusted;
use crate::wire::Frame;

/// The result of waiting on a link.
#[derive(Debug)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Received<'a> {
    /// A frame was captured.
    Frame(Frame<'a>),
    /// No frame stamped before this moment is still to come: deadlines up to it may fire.
    Quiet(Timestamp),
    /// The wait was cut short from outside (a signal, a resolved name); nothing else is known.
    Woken,
    /// There will be no more frames: the recording ends here.
    End,
    /// This many rounds of a trace that was recorded were begun, whether captured or not.
    Rounds {
        /// The number of the trace among those of the recording, from 1.
        trace: u32,
        /// The number of rounds.
        count: u64,
    },
    /// This many probes of a trace that was recorded never left.
    NeverSent {
        /// The number of the trace among those of the recording, from 1.
        trace: u32,
        /// The number of probes.
        count: u64,
    },
    /// The run that was recorded was interrupted at this moment.
    Cut(Timestamp),
    /// The clock that stamps frames was set. The stamps of frames have it taken out of them already.
    ClockStep(ClockStep),
}

/// A network as the driver sees it.
pub trait Link {
    /// The present moment on the clock that also stamps the frames, as if that had never been set.
    fn now(&self) -> Timestamp;

    /// Waits until the link is ready. The driver calls this once before it asks for a probe, so that a probe is handed to
    /// the network at the moment that it was asked for.
    fn prepare(&mut self) {}

    /// Hands one datagram to the network. Returning `Ok` does not mean that it left: that is known
    /// when its own frame is received.
    ///
    /// # Errors
    /// See [`LinkError`]; [`LinkError::Refused`] concerns this datagram only, others end the trace.
    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError>;

    /// Waits for the next frame, until `until` at the latest (for ever if `None`).
    ///
    /// # Errors
    /// See [`LinkError`].
    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError>;

    /// Whether frames we send come back from [`receive`](Link::receive). If not, the driver stamps
    /// and ingests them itself.
    fn echoes(&self) -> bool {
        true
    }

    /// How many frames that may be replies were seen on interfaces that are not captured on.
    fn elsewhere(&self) -> u64 {
        0
    }
}

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The network stack refused this one datagram (a firewall, a full queue).
    #[error("the kernel refused to send a probe to {destination}: {source}")]
    Refused {
        /// Where the datagram should have gone.
        destination: IpAddr,
        /// The kernel's reason.
        source: std::io::Error,
    },
    /// An operation on an interface failed for good.
    #[error("cannot {operation} on {}: {source}", interface.escaped())]
    Io {
        /// What was tried, as a verb: "capture", "read the counters".
        operation: &'static str,
        /// The interface by name.
        interface: Untrusted,
        /// The kernel's reason.
        source: std::io::Error,
    },
    /// The recording could not be read on, or another link has a reason of its own.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}
