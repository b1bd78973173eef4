//! A watch that begins before the network is up waits for a route to its target.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::complain;
use super::watch::{Watch, now};
use crate::link::live::route::{Route, RouteError};
use crate::trace::rounds::Until;

/// From one look for a route to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// The route that `find` finds. Where there is none yet and the watch waits for one, that is said once, and it is looked
/// for until the watch was to end.
pub(super) fn route(
    target: IpAddr,
    watch: Option<&Watch>,
    find: impl Fn() -> Result<Route, RouteError>,
) -> Result<Route, RouteError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let error = match find() {
            Err(error) if may_come(&error) => error,
            found => return found,
        };
        let Some(watch) = watch.filter(|watch| watch.awaits_route) else { return Err(error) };
        let is_over = match watch.plan.until {
            Some(Until::Time(end)) => end <= now(),
            Some(Until::After(length)) => began.elapsed().as_secs_f64() >= length.secs_f64(),
            None => false,
        };
        if is_over {
            return Err(error);
        }
        if !std::mem::replace(&mut told, true) {
            complain(&format!("the watch of {target} begins when there is a route: {error}"));
        }
        thread::sleep(PAUSE);
    }
}

/// Whether there may be a route later on, though nobody changes what was asked for.
pub(super) fn may_come(error: &RouteError) -> bool {
    matches!(
        error,
        RouteError::NoRoute { .. } | RouteError::Down { .. } | RouteError::NoAddress { .. }
    )
}
