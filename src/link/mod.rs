//! Links: live, simulated, or a recording. All are a [`Link`] of `rtrace-core`.

pub mod live;
pub mod paced;
pub mod replay;
pub mod sim;
pub mod timeline;

pub use rtrace_core::link::{Link, LinkError, Received, Transmit};

use crate::capture::CaptureError;

impl From<CaptureError> for LinkError {
    fn from(error: CaptureError) -> Self {
        Self::Other(Box::new(error))
    }
}
