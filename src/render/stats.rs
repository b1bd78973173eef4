//! Facts about a run that are not in its frames: what `--stats` says. They are kept apart from the
//! report, which a replay has to repeat.

use std::io::{self, Write};

use crate::untrusted::Untrusted;
use crate::wire::Evidence;
use serde::Serialize;

/// How a run went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunFacts {
    /// The version of rtrace.
    pub version: &'static str,
    /// Whose rights files were opened with, and whose are those that were made: "uid 1000, gid 1000, named by
    /// `SUDO_UID`".
    pub identity: String,
    /// "live" or "simulated".
    pub link: &'static str,
    /// The name of the interface; "simulated" where there is none.
    pub interface: Untrusted,
    /// The clock that stamped the frames.
    pub clock: Untrusted,
    /// Whether replies were captured, or reconstructed from kernel reports.
    pub evidence: Evidence,
    /// Frames handled.
    pub frames: u64,
    /// Frames that concerned the trace.
    pub concerning: u64,
    /// Frames that did not.
    pub unrelated: u64,
    /// How often the clock was set.
    pub clock_steps: u64,
    /// Frames that had no stamp by the hardware and have the kernel's, if the hardware was to stamp them.
    pub unstamped: Option<u64>,
    /// Frames that the capture filter let through, by the kernel's count.
    pub kernel_received: Option<u64>,
    /// Frames that the kernel dropped because they were not read in time.
    pub kernel_dropped: Option<u64>,
    /// The number of frames that may be replies and came in on interfaces without a capture.
    pub elsewhere: Option<u64>,
    /// Probes that the kernel refused to send.
    pub refused: u64,
    /// Probes that it took and that were not seen leaving.
    pub unseen: u64,
    /// How long the run took, in milliseconds.
    pub duration_ms: f64,
}

impl RunFacts {
    /// Writes the facts as lines of text.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let count = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        let replies = match self.evidence {
            Evidence::Captured => "captured",
            Evidence::Reconstructed => "reconstructed from kernel reports",
        };
        let rows = [
            ("version", self.version.to_owned()),
            ("files are of", self.identity.clone()),
            (self.link, self.interface.shown()),
            ("clock", self.clock.shown()),
            ("replies", replies.to_owned()),
            ("frames handled", self.frames.to_string()),
            ("of this trace", self.concerning.to_string()),
            ("unrelated", self.unrelated.to_string()),
            ("clock set", self.clock_steps.to_string()),
            ("unstamped", count(self.unstamped)),
            ("kernel received", count(self.kernel_received)),
            ("kernel dropped", count(self.kernel_dropped)),
            ("elsewhere", count(self.elsewhere)),
            ("probes refused", self.refused.to_string()),
            ("probes not left", self.unseen.to_string()),
            ("duration", format!("{:.1} ms", self.duration_ms)),
        ];
        for (name, value) in rows {
            writeln!(out, "{name:<16} {value}")?;
        }
        Ok(())
    }

    /// Writes the facts as one JSON document.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }
}
