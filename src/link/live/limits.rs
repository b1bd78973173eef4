//! How many files this process may have open: each target takes a socket or two that hold its ports.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::config::{LiveConfig, OpenError};
use super::identifiers;

/// What a run has open beside the sockets of its targets: streams, recordings, databases, the capture.
const BESIDE: usize = 64;

/// Sees to it that the sockets of all targets can be opened. A process begins with fewer files than it is permitted, since old
/// programs cannot wait for those with high numbers; to ask for the rest needs no right.
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

/// The limit to be set so that so many files can be open, if it is not high enough; how many are permitted, if they are too few.
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
