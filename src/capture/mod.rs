//! Capture files.
use std::path::PathBuf;
/// placeholder
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// placeholder
    #[error("{0}")]
    Placeholder(PathBuf),
}
