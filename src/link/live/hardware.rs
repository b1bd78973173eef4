//! Stamps by the network card: when a frame was on the wire, by the card's own clock.
//!
//! A reply has its stamp beside it when it is read. The stamp of a probe comes later, on the error queue of the
//! socket that sent it, with the whole frame, whose bytes identify the captured frame (a number, as
//! `SOF_TIMESTAMPING_OPT_ID` gives, would be wrong after the first probe that the kernel refuses). So a captured
//! probe is held back until its stamp arrives, for at most [`PATIENCE`].
//!
//! The card's clock has a zero of its own. One constant offset brings all its stamps to the kernel's clock, so that
//! deadlines still work; it cancels out between two stamps. A frame without such a stamp keeps the kernel's stamp and
//! is counted. See timestamping.rst of the kernel's documentation.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{TimestampingFlag, setsockopt, sockopt};

use super::capture::{Captured, ROOM};
use super::sys::{self, BATCH, Note, StampingOffer};
use super::{OpenError, time_spec};
use crate::time::{Span, Timestamp};

/// How long a captured probe may wait for its stamp.
pub const PATIENCE: Span = Span::from_millis(10);

/// How fast a card's clock may drift from the kernel's: ten times as fast as a bad quartz.
const DRIFT: f64 = 1e-3;

pub(super) const RECEIVED: TimestampingFlag = TimestampingFlag::SOF_TIMESTAMPING_RX_HARDWARE;
pub(super) const SENT: TimestampingFlag = TimestampingFlag::SOF_TIMESTAMPING_TX_HARDWARE;

/// The number of sent frames that are read at a time, and the number that are kept while their capture is not seen.
const ROOMS: usize = 4;
const KEPT: usize = 256;

/// `HWTSTAMP_TX_OFF` with `HWTSTAMP_FILTER_NONE`, and `HWTSTAMP_TX_ON` with `HWTSTAMP_FILTER_ALL`.
const OFF: libc::hwtstamp_config = libc::hwtstamp_config { flags: 0, tx_type: 0, rx_filter: 0 };
const ON: libc::hwtstamp_config = libc::hwtstamp_config { flags: 0, tx_type: 1, rx_filter: 1 };

/// A card whose stamps are switched on as long as this lives.
pub(super) struct Hardware {
    /// The interface and its clock.
    device: String,
    rooms: Vec<u8>,
    sent: Sent,
    shift: Shift,
    /// Restores the previous setting.
    _before: Option<sys::Afterwards>,
}

impl Hardware {
    /// Switches stamps on, which needs `CAP_NET_ADMIN` unless they are on already. Must be called before other
    /// descriptors are opened: the process that restores the setting inherits them.
    pub(super) fn switch_on(interface: &str) -> Result<Self, OpenError> {
        let missing = || OpenError::NoHardware { interface: interface.into() };
        let fail = |source: io::Error| match source.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ERANGE) => missing(),
            Some(libc::EPERM) => OpenError::HardwareRight { interface: interface.into() },
            _ => OpenError::socket("switch on hardware stamps", interface, source),
        };
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(fail)?;
        let offer = sys::stamping_offer(&socket, interface).map_err(fail)?;
        if !serves(&offer) {
            return Err(missing());
        }
        // A driver that cannot report its setting is assumed to have that of a fresh boot.
        let before = sys::stamping(&socket, interface).unwrap_or(OFF);
        let is_on = |set: libc::hwtstamp_config| (set.tx_type, set.rx_filter) == (1, 1);
        let mut restore = None;
        if !is_on(before) {
            let set = sys::set_stamping(&socket, interface, ON).map_err(fail)?;
            let back = || drop(sys::set_stamping(&socket, interface, before));
            restore = Some(sys::afterwards(back).map_err(fail)?);
            if !is_on(set) {
                return Err(missing());
            }
        }
        let device = match offer.phc_index {
            ..0 => interface.to_owned(),
            number => format!("{interface}, /dev/ptp{number}"),
        };
        let rooms = vec![0; ROOMS * ROOM];
        Ok(Self { device, rooms, sent: Sent::default(), shift: Shift::default(), _before: restore })
    }

    /// The device that the clock belongs to.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// The number of frames without a stamp of the card.
    pub(super) fn unstamped(&self) -> u64 {
        self.shift.unstamped
    }

    /// When a captured frame was on the wire, in the time of the run, which is now `now`.
    pub(super) fn stamp(
        &mut self,
        sender: BorrowedFd<'_>,
        frame: &Captured<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Timestamp {
        let sent = frame.outgoing.then(|| self.sent_at(sender, frame, now));
        let hardware = sent.unwrap_or(frame.hardware);
        self.shift.apply(frame.at, hardware)
    }

    fn sent_at(
        &mut self,
        sender: BorrowedFd<'_>,
        frame: &Captured<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Option<Timestamp> {
        let until = frame.at.after(PATIENCE);
        loop {
            while self.collect(sender) {}
            let left = until.since(now());
            if let Some(at) = self.sent.take(frame.bytes) {
                return Some(at);
            }
            let mut fds = [PollFd::new(sender, PollFlags::empty())]; // POLLERR needs no asking for
            if left <= Span::ZERO || ppoll(&mut fds, Some(time_spec(left)), None).is_err() {
                return None;
            }
        }
    }

    /// Reads what the socket reports of sent frames; returns `false` when nothing is left.
    fn collect(&mut self, sender: BorrowedFd<'_>) -> bool {
        let mut notes = [Note::NONE; BATCH];
        let rooms = self.rooms.chunks_exact_mut(ROOM);
        let Ok(read) = sys::receive(&sender, libc::MSG_ERRQUEUE, rooms, &mut notes) else {
            return false;
        };
        for (note, room) in read.iter().zip(self.rooms.chunks_exact(ROOM)) {
            if let (Some(at), Some(frame)) = (note.hardware, room.get(..note.length)) {
                self.sent.add(frame, at);
            }
        }
        read.len() == ROOMS
    }
}

/// Makes a socket report when the card received ([`RECEIVED`]) or sent ([`SENT`]) a frame.
pub(super) fn ask(socket: &impl AsFd, which: TimestampingFlag) -> io::Result<()> {
    let flags = which | TimestampingFlag::SOF_TIMESTAMPING_RAW_HARDWARE;
    Ok(setsockopt(socket, sockopt::Timestamping, &flags)?)
}

/// Whether a device stamps what it sends and everything that it receives.
fn serves(offer: &StampingOffer) -> bool {
    let wanted = libc::SOF_TIMESTAMPING_TX_HARDWARE
        | libc::SOF_TIMESTAMPING_RX_HARDWARE
        | libc::SOF_TIMESTAMPING_RAW_HARDWARE;
    offer.so_timestamping & wanted == wanted
        && offer.tx_types & (1 << libc::HWTSTAMP_TX_ON) != 0
        && offer.rx_filters & (1 << libc::HWTSTAMP_FILTER_ALL) != 0
}

/// Frames that the card has sent, and when.
#[derive(Debug, Default)]
struct Sent(VecDeque<(Vec<u8>, Timestamp)>);

impl Sent {
    fn add(&mut self, frame: &[u8], at: Timestamp) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((frame.to_owned(), at));
    }

    /// When this frame was sent; of two equal frames, the first.
    fn take(&mut self, frame: &[u8]) -> Option<Timestamp> {
        let index = self.0.iter().position(|(sent, _)| sent == frame)?;
        self.0.remove(index).map(|(_, at)| at)
    }
}

/// The offset from the card's clock to the time of the run, taken from the first frame with both stamps.
#[derive(Debug, Default)]
struct Shift {
    offset: Option<Span>,
    /// The kernel's stamp of the last frame with both stamps, and how far the card's was ahead of it.
    last: Option<(Timestamp, Span)>,
    unstamped: u64,
}

impl Shift {
    fn apply(&mut self, software: Timestamp, hardware: Option<Timestamp>) -> Timestamp {
        let Some(hardware) = hardware else {
            self.unstamped += 1;
            return software;
        };
        let ahead = hardware.since(software);
        let before = self.last.replace((software, ahead));
        if let Some((since, before)) = before
            && let change = ahead.less(before)
            && change.abs() > tolerated(software.since(since))
        {
            // The card's clock was set. This frame is where both clocks begin again.
            self.unstamped += 1;
            self.offset = Some(ahead);
            return software;
        }
        hardware.before(*self.offset.get_or_insert(hardware.since(software)))
    }
}

/// How far the card's clock and the kernel's may diverge in this time without having been set: by the time that the
/// card holds frames back, and by their drift.
fn tolerated(time: Span) -> Span {
    PATIENCE.plus(time.scaled(DRIFT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn differences_of_shifted_stamps_are_the_cards() {
        let mut shift = Shift::default();
        assert_eq!(shift.apply(at(1_000), None), at(1_000), "nothing to go by yet");
        for (software, hardware, shifted) in [
            (2_000, Some(77), 2_000),
            (2_450, Some(477), 2_400),
            (2_500, None, 2_500),
            (2_600, Some(77), 2_000),
        ] {
            assert_eq!(shift.apply(at(software), hardware.map(at)), at(shifted));
        }
        assert_eq!(shift.unstamped, 2);
    }

    #[test]
    fn a_card_whose_clock_is_set_begins_anew() {
        let mut shift = Shift::default();
        let second = 1_000_000_000;
        for (software, hardware, shifted) in [
            (second, 0, second),
            // The clock drifts by 300 ppm, which is not corrected.
            (101 * second, 100 * second + 30_000_000, 101 * second + 30_000_000),
            (102 * second, 901 * second, 102 * second),
            (103 * second, 902 * second + 1, 103 * second + 1),
            (104 * second, -second, 104 * second),
            (104 * second + 7, 5 - second, 104 * second + 5),
        ] {
            assert_eq!(shift.apply(at(software), Some(at(hardware))), at(shifted));
        }
        assert_eq!(shift.unstamped, 2, "round trips across a setting are of two clocks");
    }

    #[test]
    fn a_card_may_be_ahead_and_time_has_ends() {
        let mut shift = Shift::default();
        assert_eq!(shift.apply(at(5), Some(at(i64::MAX))), at(5));
        assert_eq!(shift.apply(at(9), Some(at(i64::MIN))), at(9), "it was set");
    }

    #[test]
    fn stamps_find_their_frames_in_any_order_and_once() {
        let mut sent = Sent::default();
        for (frame, when) in [("a", 1), ("b", 2), ("a", 3)] {
            sent.add(frame.as_bytes(), at(when));
        }
        let found = ["b", "a", "c", "a", "a"].map(|frame| sent.take(frame.as_bytes()));
        assert_eq!(found, [Some(at(2)), Some(at(1)), None, Some(at(3)), None]);
        (0..=KEPT).for_each(|_| sent.add(b"never captured", at(4)));
        assert_eq!(sent.0.len(), KEPT);
    }

    #[test]
    fn a_device_serves_if_it_stamps_both_ways_and_everything() {
        let all = StampingOffer {
            so_timestamping: 0b100_0101,
            tx_types: 0b11,
            rx_filters: 0b11,
            ..StampingOffer::default()
        };
        assert!(serves(&all));
        let ptp_only = StampingOffer { rx_filters: 0b1001, ..all };
        let software = StampingOffer { so_timestamping: 0b1_1010, ..all };
        let receives = StampingOffer { tx_types: 0b1, ..all };
        assert!([ptp_only, software, receives].iter().all(|offer| !serves(offer)));
    }
}
