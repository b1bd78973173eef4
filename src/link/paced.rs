//! A link whose time is kept to that of the wall: what a simulation knows at once is handed out when it is due.
//!
//! So a watch of a simulated network can be looked at. The stamps are the simulation's own: pacing changes
//! when things are shown, never what.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::{Link, LinkError, Received, Transmit};
use crate::time::Timestamp;

/// A link at the pace of the wall clock.
pub struct Paced<L> {
    link: L,
    began: (Instant, Timestamp),
    calls: Receiver<()>,
    /// Whether the wait was ended by a call.
    hurried: bool,
}

/// Ends the pacing, from another thread.
#[derive(Clone, Debug)]
pub struct Hurry(Sender<()>);

impl Hurry {
    /// Ends the present wait, and all that would follow.
    pub fn call(&self) {
        // If the link is gone, nobody waits.
        let _ = self.0.send(());
    }
}

impl<L: Link> Paced<L> {
    /// This link, from now on at the pace of the wall clock.
    pub fn new(link: L) -> (Self, Hurry) {
        let (call, calls) = mpsc::channel();
        let began = (Instant::now(), link.now());
        (Self { link, began, calls, hurried: false }, Hurry(call))
    }
}

/// Waits until the wall clock has come as far as `at`; `true` if a call came before.
fn wait((began, from): (Instant, Timestamp), at: Timestamp, calls: &Receiver<()>) -> bool {
    let due = Duration::from_nanos(u64::try_from(at.since(from).nanos()).unwrap_or(0));
    let left = due.saturating_sub(began.elapsed());
    !left.is_zero() && calls.recv_timeout(left).is_ok()
}

impl<L: Link> Link for Paced<L> {
    fn now(&self) -> Timestamp {
        self.link.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.link.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        let received = self.link.receive(until)?;
        let at = match &received {
            Received::Frame(frame) => Some(frame.at),
            Received::Quiet(at) | Received::Cut(at) => Some(*at),
            Received::Woken
            | Received::Rounds { .. }
            | Received::NeverSent { .. }
            | Received::End
            | Received::ClockStep(_) => None,
        };
        if let Some(at) = at.filter(|_| !self.hurried) {
            self.hurried = wait(self.began, at, &self.calls);
        }
        Ok(received)
    }

    fn echoes(&self) -> bool {
        self.link.echoes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::sim::{START, SimLink, Topology};
    use crate::time::Span;

    #[test]
    fn time_is_that_of_the_simulation_and_a_call_ends_the_wait() {
        let (mut link, hurry) = Paced::new(SimLink::new(Topology::builtin()));
        hurry.call();
        for hours in [1, 2] {
            // Longer than anybody could wait.
            let at = START.after(Span::from_secs_f64(f64::from(hours) * 3600.0));
            assert!(matches!(link.receive(Some(at)), Ok(Received::Quiet(quiet)) if quiet == at));
            assert_eq!(link.now(), at);
        }
    }
}
