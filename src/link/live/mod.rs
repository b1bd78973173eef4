//! The live link on Linux: raw and packet sockets, through pnet.
//!
//! A probe goes out through a raw socket, and it, like every reply, is seen on a packet socket with
//! the kernel's stamp; one thread waits with `ppoll` for whichever comes first, frame, wake-up or
//! deadline. Invariants: an idle wait costs no CPU; a frame that is waiting, read or not, is handed out
//! before any word of quiet; [`Received::Quiet`] is only said of a time that the capture is known to be
//! past. Frames are read in batches, and what was read is handed out without asking the kernel anything.
//! See packet(7), raw(7), and section 4 of the design for what each socket is good for.

mod capture;
mod clocks;
mod config;
mod filter;
mod hardware;
mod identifiers;
mod limits;
mod netlink;
mod own;
pub mod process;
pub mod random;
pub mod route;
mod sender;
mod stamping;
mod sys;
#[cfg(test)]
mod tests;
mod twins;
mod wake;

use std::io;
use std::os::fd::AsFd;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use socket2::{SockFilter, SockRef};

use self::capture::{Capture, Captured, Wanted};
use self::clocks::{Clocks, Kernel, Settings};
use self::filter::Instruction;
use self::hardware::Hardware;
use self::identifiers::Identifiers;
use self::route::ANY;
use self::sender::Sender;
use self::wake::Wakeups;
use super::timeline::Timeline;
use super::{Link, LinkError, Received, Transmit};
use crate::time::{Span, Timestamp};
use crate::wire::{Frame, LinkType};

pub use self::capture::Statistics;
pub use self::config::{Clock, LiveConfig, LiveTarget, OpenError};
pub use self::stamping::Stamping;
pub use self::wake::{Interrupt, Waker};

/// How long after its stamp a frame may take to become readable: the kernel stamps it, then runs the
/// filter and queues it, and may be interrupted in between. Seen: up to 350 µs on a loaded machine.
pub const GRACE: Span = Span::from_micros(500);

/// A network, live.
pub struct LiveLink {
    sender: Sender,
    identifiers: Identifiers,
    /// What frames begin with, of each target.
    links: Vec<LinkType>,
    capture: Capture,
    /// Waited for before the first probe.
    stamping: Stamping,
    waker: Waker,
    wakeups: Wakeups,
    /// The card, if it is its clock that counts.
    hardware: Option<Hardware>,
    /// What time it is, and what stamps mean.
    clocks: Box<dyn Clocks>,
    timeline: Timeline,
    settings: Settings,
    /// Whether a frame is likely to be there already: then it is read without waiting for it.
    expecting: bool,
    /// What is captured on, for errors.
    interface: String,
    /// Its going down is no error.
    survive_link_down: bool,
}

/// What a wait came to.
enum Ready {
    Frame,
    Woken,
    /// The clock was set, or the machine has slept.
    Set,
    /// The time is over, or the wait was interrupted.
    Nothing,
}

impl LiveLink {
    /// Opens every socket there is to open; needs `CAP_NET_RAW`, after that no privilege. The kernel was asked for stamps
    /// before: see [`Stamping`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: &LiveConfig, stamping: Stamping) -> Result<Self, OpenError> {
        if config.targets.is_empty() {
            return Err(OpenError::NoTarget);
        }
        let name = config.captured_on();
        let hardware = match config.clock {
            Clock::Kernel => None,
            Clock::Hardware if config.targets.len() > 1 => {
                return Err(OpenError::HardwareOfSeveral);
            }
            Clock::Hardware => Some(Hardware::switch_on(name)?),
        };
        let timeline = Timeline::beginning(&Kernel.read(), GRACE);
        if config.targets.len() > 1 {
            limits::make_room(config)?;
        }
        let sender = Sender::open(config)?;
        let identifiers = Identifiers::take(config)?;
        let capture = Capture::open(&Wanted::of(config), &identifiers.filters(config))
            .map_err(|source| OpenError::socket("capture", name, source))?;
        if hardware.is_some() {
            hardware::ask(&capture, hardware::RECEIVED)
                .and_then(|()| hardware::ask(&sender, hardware::SENT))
                .map_err(|source| OpenError::socket("ask for hardware stamps", name, source))?;
        }
        let (waker, wakeups) = wake::channel()
            .map_err(|source| OpenError::socket("make a socket pair", name, source))?;
        Ok(Self {
            sender,
            identifiers,
            links: config.links(),
            capture,
            stamping,
            waker,
            wakeups,
            hardware,
            clocks: Box::new(Kernel),
            timeline,
            settings: Settings::open(),
            expecting: false,
            interface: name.to_owned(),
            survive_link_down: config.survive_link_down,
        })
    }

    /// The same link, whose time goes on after that of a recording: `last` is when that was over, and `offset` by how much
    /// the clock had been set by then.
    #[must_use]
    pub fn going_on(self, last: Timestamp, offset: Span) -> Self {
        Self { timeline: self.timeline.going_on(last, offset), ..self }
    }

    /// What tells the probes to the target with this number from all others: for protocols with ports the source port,
    /// held, and nothing else passes the filter if there is one target; otherwise a random number of at least 1. 0 if there
    /// is no such target.
    #[must_use]
    pub fn ident(&self, target: usize) -> u16 {
        self.identifiers.first(target)
    }

    /// What tells the probes that confirm answers of this target from all others, if there are to be any.
    #[must_use]
    pub fn second_ident(&self, target: usize) -> Option<u16> {
        self.identifiers.second(target)
    }

    /// What frames begin with on the interface that probes to this target are to leave by.
    #[must_use]
    pub fn link_type(&self, target: usize) -> LinkType {
        self.links.get(target).copied().unwrap_or(LinkType::Sll2)
    }

    /// Which clock stamps the frames.
    #[must_use]
    pub fn clock(&self) -> String {
        match &self.hardware {
            None => "kernel (SO_TIMESTAMPNS)".to_owned(),
            Some(hardware) => format!("hardware (SO_TIMESTAMPING, {})", hardware.device()),
        }
    }

    /// How many frames had no stamp by the card, and so have the kernel's, if it is the card's clock
    /// that counts.
    #[must_use]
    pub fn unstamped(&self) -> Option<u64> {
        self.hardware.as_ref().map(Hardware::unstamped)
    }

    /// How long after its stamp a frame may take to become readable. A card's stamp is earlier than
    /// the kernel's by as long as the card keeps frames to itself.
    fn grace(&self) -> Span {
        match self.hardware {
            None => GRACE,
            Some(_) => hardware::PATIENCE,
        }
    }

    /// Something to end a wait with, from wherever.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What the kernel counted so far.
    ///
    /// # Errors
    /// [`LinkError::Io`], with the kernel's reason.
    pub fn statistics(&mut self) -> Result<Statistics, LinkError> {
        self.capture.statistics().map_err(|source| LinkError::Io {
            operation: "read the counters",
            interface: self.interface.as_str().into(),
            source,
        })
    }

    /// Whether what is captured on exists: one that is gone never comes up again.
    fn is_there(&self) -> bool {
        self.interface == ANY || sys::is_there(&self.capture, &self.interface)
    }

    /// Waits for a frame or a wake-up, `timeout` long at most.
    fn wait(&self, timeout: Option<Span>) -> Result<Ready, LinkError> {
        let wakeups = self.wakeups.as_fd();
        let settings = self.settings.descriptor().unwrap_or(wakeups);
        let mut fds =
            [self.capture.as_fd(), wakeups, settings].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match ppoll(&mut fds, timeout.map(time_spec), None) {
            Ok(0) | Err(Errno::EINTR) => Ok(Ready::Nothing),
            // Wake-ups first: they are few, and frames keep.
            Ok(_) if fds[1].any() == Some(true) => Ok(Ready::Woken),
            Ok(_) if fds[2].any() == Some(true) => Ok(Ready::Set),
            Ok(_) => Ok(Ready::Frame),
            Err(errno) => Err(broken(&self.interface, errno.into())),
        }
    }
}

/// A length of time for system calls; none if it is not positive.
fn time_spec(span: Span) -> TimeSpec {
    let nanos = span.nanos().max(0);
    TimeSpec::new(nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// The error that ends a capture.
fn broken(interface: &str, source: io::Error) -> LinkError {
    LinkError::Io { operation: "capture", interface: interface.into(), source }
}

impl Link for LiveLink {
    fn elsewhere(&self) -> u64 {
        self.capture.elsewhere()
    }

    fn now(&self) -> Timestamp {
        self.timeline.at(self.clocks.steady())
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.stamping.settle();
        self.expecting = true; // a probe is usually captured before the call that sends it returns
        self.sender.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        // What was stamped by `until` is readable by then.
        let quiet_at = until.map(|until| until.after(self.grace()));
        while !self.capture.has_frame() {
            if let Some(other) = self.expect_frame(quiet_at)? {
                return Ok(other);
            }
        }
        self.next_frame()
    }
}

impl LiveLink {
    /// Reads or waits once. What it came to, if that was something else than frames.
    fn expect_frame(
        &mut self,
        quiet_at: Option<Timestamp>,
    ) -> Result<Option<Received<'static>>, LinkError> {
        if self.wakeups.called() {
            self.wakeups.drain();
            return Ok(Some(Received::Woken));
        }
        let now = self.now();
        let mut left = quiet_at.map(|quiet_at| quiet_at.since(now));
        let is_due = left.is_some_and(|left| left <= Span::ZERO);
        if is_due || self.expecting {
            self.read(now)?;
            if self.capture.has_frame() {
                return Ok(None);
            }
            if let Some(step) = self.timeline.settle() {
                return Ok(Some(Received::ClockStep(step)));
            }
            if !self.timeline.is_unsettled() {
                // The clock was read before the socket was found empty.
                return Ok(is_due.then(|| Received::Quiet(now.before(self.grace()))));
            }
        }
        // A step is told once no frame from before it can come any more.
        if self.timeline.is_unsettled() {
            (left, self.expecting) = (Some(GRACE), true);
        }
        match self.wait(left)? {
            Ready::Frame => self.expecting = true,
            Ready::Set => {
                self.settings.drain();
                self.expecting = true;
            }
            Ready::Woken => {
                self.wakeups.drain();
                return Ok(Some(Received::Woken));
            }
            Ready::Nothing => {}
        }
        Ok(None)
    }

    /// Reads what frames there are, and then the clocks; it was `now` before.
    fn read(&mut self, now: Timestamp) -> Result<(), LinkError> {
        self.expecting = match self.capture.read() {
            Ok(more) => more,
            // It is said once, and the socket captures again as soon as the interface is up.
            Err(error) if self.survive_link_down && is_down(&error) && self.is_there() => false,
            Err(source) => return Err(broken(&self.interface, source)),
        };
        let emptied = (!self.expecting).then(|| now.before(self.grace()));
        self.timeline.note_read(&self.clocks.read(), emptied);
        Ok(())
    }

    /// The next of the frames that were read, or a step of the clock before it.
    fn next_frame(&mut self) -> Result<Received<'_>, LinkError> {
        let stamp = self.capture.next_stamp().map(|stamp| self.clocks.restamped(stamp));
        let placed = stamp.map(|stamp| self.timeline.place(stamp)).transpose();
        let at = match placed {
            Ok(at) => at.unwrap_or_default(),
            Err(step) => return Ok(Received::ClockStep(step)),
        };
        let captured = match self.capture.next() {
            Some(Ok(captured)) => Captured { at, ..captured },
            Some(Err(source)) => return Err(broken(&self.interface, source)),
            None => return Ok(Received::Woken),
        };
        let now = || self.timeline.at(self.clocks.steady());
        let at = match &mut self.hardware {
            None => captured.at,
            Some(hardware) => hardware.stamp(self.sender.as_fd(), &captured, now),
        };
        let Captured { link, interface, bytes, original_len, .. } = captured;
        let original_len = u32::try_from(original_len).unwrap_or(u32::MAX);
        Ok(Received::Frame(Frame { at, link, bytes, original_len, interface, number: 0 }))
    }
}

/// Whether an interface is down, or gone.
fn is_down(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENETDOWN)
}

/// The realtime clock, which the kernel stamps frames with.
fn realtime() -> Timestamp {
    SystemTime::now().into()
}

/// Puts a filter on a socket.
fn attach(socket: &SockRef<'_>, program: &[Instruction]) -> io::Result<()> {
    let encode = |i: &Instruction| SockFilter::new(i.code, i.jt, i.jf, i.k);
    socket.attach_filter(&program.iter().map(encode).collect::<Vec<_>>())
}
