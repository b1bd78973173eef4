//! The limit of open files: each target needs one or two sockets that hold its ports.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::config::{LiveConfig, OpenError};
use super::identifiers;

/// The number of files that a run has open beside the sockets of its targets: streams, recordings, databases, the
/// capture.
const BESIDE: usize = 64;

/// Raises the limit of open files so that the sockets of all targets can be opened. A process begins with a lower
/// limit than it is permitted, for the sake of old programs that cannot wait for high descriptors; raising it needs
/// no privilege.
pub(super) fn make_room(config: &LiveConfig) -> Result<(), OpenError> {
    let sockets = identifiers::needed(config) + config.sources().len();
    let needed = u64::try_from(sockets + BESIDE).unwrap_or(u64::MAX);
    let refused = |permitted| OpenError::Files { targets: config.targets.len(), needed, permitted };
    let limit = getrlimit(Resource::Nofile);
    match raised(limit, needed).map_err(refused)? {
        None => Ok(()),
        Some(raised) => setrlimit(Resource::Nofile, raised)
            .map_err(|_| refused(limit.current.unwrap_or(u64::MAX))),
    }
}

/// The limit to set for this number of open files, if the present one is too low. An error holds the number that is
/// permitted, if that is too low.
fn raised(limit: Rlimit, needed: u64) -> Result<Option<Rlimit>, u64> {
    let is_enough = |permitted: Option<u64>| permitted.is_none_or(|it| it >= needed);
    match limit.maximum {
        _ if is_enough(limit.current) => Ok(None),
        Some(permitted) if permitted < needed => Err(permitted),
        _ => Ok(Some(Rlimit { current: limit.maximum, ..limit })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_is_permitted_and_only_if_it_is_too_low() {
        let limit = |current, maximum| Rlimit { current, maximum };
        for (now, expect) in [
            (limit(Some(1_000), Some(1_000)), Ok(None)),
            (limit(Some(999), Some(4_096)), Ok(Some(limit(Some(4_096), Some(4_096))))),
            (limit(Some(999), None), Ok(Some(limit(None, None)))),
            (limit(None, None), Ok(None)),
            (limit(Some(256), Some(999)), Err(999)),
        ] {
            assert_eq!(raised(now, 1_000), expect, "{now:?}");
        }
    }
}
