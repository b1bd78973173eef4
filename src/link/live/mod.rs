//! The live link on Linux: raw and packet sockets, through pnet; or, without privilege, UDP and ping sockets.
//!
//! With privilege, a probe leaves through a raw socket. It is seen on a packet socket, like every reply, with the kernel's stamp. One
//! thread waits with `ppoll` for whichever comes first: frame, wake-up or deadline. Invariants: an idle wait costs no
//! CPU; a waiting frame, read or not, is handed out before any [`Received::Quiet`], which is only given for a time
//! that the capture has passed. Frames are read in batches, and frames that were read are handed out without a system
//! call. See packet(7), raw(7), and section 4 of the design for the purpose of each socket.

mod capture;
mod clocks;
mod config;
mod edge;
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
mod sockets;
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
use self::edge::{Edge, Packets};
use self::filter::Instruction;
use self::hardware::Hardware;
use self::identifiers::Identifiers;
use self::route::ANY;
use self::sender::Sender;
use self::sockets::Sockets;
use self::wake::Wakeups;
use super::timeline::Timeline;
use super::{Link, LinkError, Received, Transmit};
use crate::time::{Span, Timestamp};
use crate::wire::{Evidence, Frame, LinkType};

pub use self::capture::Statistics;
pub use self::config::{Clock, LiveConfig, LiveTarget, OpenError};
pub use self::stamping::Stamping;
pub use self::wake::{Interrupt, Waker};

/// The longest time from a frame's stamp until it can be read: the kernel stamps it, then runs the filter and queues
/// it, and may be interrupted in between. Up to 350 µs were seen on a loaded machine.
pub const GRACE: Span = Span::from_micros(500);

/// A link to the live network.
pub struct LiveLink {
    edge: Edge,
    /// Waited for before the first probe.
    stamping: Stamping,
    waker: Waker,
    wakeups: Wakeups,
    /// The card, if its clock stamps the frames.
    hardware: Option<Hardware>,
    /// The clocks of the host, and how stamps relate to them.
    clocks: Box<dyn Clocks>,
    timeline: Timeline,
    settings: Settings,
    /// Whether a frame is probably there already: then it is read without waiting for it.
    expecting: bool,
    /// The name of the interface that is captured on, for errors.
    interface: String,
    /// Whether to continue when the interface goes down.
    survive_link_down: bool,
}

/// The result of a wait.
enum Ready {
    Frame,
    Woken,
    /// The clock was set, or the machine has slept.
    Set,
    /// The time is over, or the wait was interrupted.
    Nothing,
}

impl LiveLink {
    /// Opens all sockets, which needs `CAP_NET_RAW`; no privilege is needed later. Stamps must have been requested
    /// before: see [`Stamping`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: &LiveConfig, stamping: Stamping) -> Result<Self, OpenError> {
        if config.targets.is_empty() {
            return Err(OpenError::NoTarget);
        }
        let name = config.captured_on();
        let timeline = Timeline::beginning(&Kernel.read(), GRACE);
        let hardware = match config.clock {
            Clock::Kernel => None,
            Clock::Hardware if config.targets.len() > 1 => {
                return Err(OpenError::HardwareOfSeveral);
            }
            Clock::Hardware => Some(Hardware::switch_on(name)?),
        };
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
        let packets = Packets { sender, identifiers, links: config.links(), capture };
        let link = Self::over(Edge::Packets(Box::new(packets)), config, stamping, timeline)?;
        Ok(Self { hardware, ..link })
    }

    /// Opens a link that needs no privilege: replies are put together from what the kernel reports. Only UDP and, where
    /// the system lets this user, ICMP echo are possible.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_unprivileged(config: &LiveConfig, stamping: Stamping) -> Result<Self, OpenError> {
        if config.targets.is_empty() {
            return Err(OpenError::NoTarget);
        }
        if config.clock == Clock::Hardware {
            let interface = config.captured_on().into();
            return Err(OpenError::HardwareRight { interface });
        }
        let timeline = Timeline::beginning(&Kernel.read(), GRACE);
        if config.targets.len() > 1 {
            limits::make_room(config)?;
        }
        let sockets = Sockets::open(config)?;
        Self::over(Edge::Sockets(Box::new(sockets)), config, stamping, timeline)
    }

    fn over(
        edge: Edge,
        config: &LiveConfig,
        stamping: Stamping,
        timeline: Timeline,
    ) -> Result<Self, OpenError> {
        let interface = config.captured_on().to_owned();
        let (waker, wakeups) = wake::channel()
            .map_err(|source| OpenError::socket("make a socket pair", &interface, source))?;
        Ok(Self {
            edge,
            stamping,
            waker,
            wakeups,
            hardware: None,
            clocks: Box::new(Kernel),
            timeline,
            settings: Settings::open(),
            expecting: false,
            interface,
            survive_link_down: config.survive_link_down,
        })
    }

    /// Whether replies are captured, or put together from what the kernel reports.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        match self.edge {
            Edge::Packets(_) => Evidence::Captured,
            Edge::Sockets(_) => Evidence::Reconstructed,
        }
    }

    /// What the kernel refused that a run can do without, each in a sentence.
    #[must_use]
    pub fn lacking(&self) -> &[String] {
        match &self.edge {
            Edge::Packets(_) => &[],
            Edge::Sockets(sockets) => sockets.lacking(),
        }
    }

    /// Makes the time of this link follow that of a recording: `last` is when the recording ended, and `offset` is
    /// the sum of its clock steps.
    #[must_use]
    pub fn going_on(self, last: Timestamp, offset: Span) -> Self {
        Self { timeline: self.timeline.going_on(last, offset), ..self }
    }

    /// The identifier of the probes to the target with this number: for protocols with ports the source port, which
    /// is held (and with a single target nothing else passes the filter); otherwise a random number of at least 1. 0
    /// if there is no such target.
    #[must_use]
    pub fn ident(&self, target: usize) -> u16 {
        match &self.edge {
            Edge::Packets(packets) => packets.identifiers.first(target),
            Edge::Sockets(sockets) => sockets.first(target),
        }
    }

    /// The identifier of the probes to this target that confirm answers, if there are to be any.
    #[must_use]
    pub fn second_ident(&self, target: usize) -> Option<u16> {
        match &self.edge {
            Edge::Packets(packets) => packets.identifiers.second(target),
            Edge::Sockets(sockets) => sockets.second(target),
        }
    }

    /// The link type of the interface that probes to this target leave by.
    #[must_use]
    pub fn link_type(&self, target: usize) -> LinkType {
        match &self.edge {
            Edge::Packets(packets) => packets.links.get(target).copied().unwrap_or(LinkType::Sll2),
            Edge::Sockets(_) => LinkType::Raw,
        }
    }

    /// The clock that stamps the frames, in words.
    #[must_use]
    pub fn clock(&self) -> String {
        match (&self.hardware, &self.edge) {
            (None, Edge::Sockets(sockets)) if sockets.reports_sent() => {
                "kernel (SO_TIMESTAMPING)".to_owned()
            }
            (None, Edge::Sockets(_)) => {
                "kernel for replies; probes are stamped before they are sent".to_owned()
            }
            (None, Edge::Packets(_)) => "kernel (SO_TIMESTAMPNS)".to_owned(),
            (Some(hardware), _) => format!("hardware (SO_TIMESTAMPING, {})", hardware.device()),
        }
    }

    /// The number of frames without a stamp of the card, which have the kernel's stamp instead, if the card's clock
    /// stamps frames.
    #[must_use]
    pub fn unstamped(&self) -> Option<u64> {
        self.hardware.as_ref().map(Hardware::unstamped)
    }

    /// The longest time from a frame's stamp until it can be read. A card stamps earlier than the kernel, by as long
    /// as it holds frames back.
    fn grace(&self) -> Span {
        match self.hardware {
            None => GRACE,
            Some(_) => hardware::PATIENCE,
        }
    }

    /// A handle that ends a wait of this link from another thread or a signal handler.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The kernel's counters so far; `None` without privilege: then the kernel counts nothing.
    ///
    /// # Errors
    /// [`LinkError::Io`], with the kernel's reason.
    pub fn statistics(&mut self) -> Result<Option<Statistics>, LinkError> {
        let Edge::Packets(packets) = &mut self.edge else { return Ok(None) };
        packets.capture.statistics().map(Some).map_err(|source| LinkError::Io {
            operation: "read the counters",
            interface: self.interface.as_str().into(),
            source,
        })
    }

    /// Whether the interface that is captured on exists: one that was removed never comes up again.
    fn is_there(&self) -> bool {
        self.interface == ANY || sys::is_there(&self.edge, &self.interface)
    }

    /// Waits for a frame or a wake-up, at most `timeout` long.
    fn wait(&self, timeout: Option<Span>) -> Result<Ready, LinkError> {
        let wakeups = self.wakeups.as_fd();
        let settings = self.settings.descriptor().unwrap_or(wakeups);
        let all = [wakeups, settings].into_iter().chain(self.edge.descriptors());
        let mut fds: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match ppoll(&mut fds, timeout.map(time_spec), None) {
            Ok(0) | Err(Errno::EINTR) => Ok(Ready::Nothing),
            // Wake-ups first: they are few, and frames keep.
            Ok(_) if fds[0].any() == Some(true) => Ok(Ready::Woken),
            Ok(_) if fds[1].any() == Some(true) => Ok(Ready::Set),
            Ok(_) => Ok(Ready::Frame),
            Err(errno) => Err(broken(&self.interface, errno.into())),
        }
    }
}

/// A length of time for system calls; `None` if it is not positive.
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
        match &self.edge {
            Edge::Packets(packets) => packets.capture.elsewhere(),
            Edge::Sockets(_) => 0,
        }
    }

    fn now(&self) -> Timestamp {
        self.timeline.at(self.clocks.steady())
    }

    /// Until stamps are real.
    fn prepare(&mut self) {
        self.stamping.settle();
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.stamping.settle();
        if let Edge::Sockets(sockets) = &self.edge
            && sockets.is_reading_due()
        {
            self.read(self.now())?;
        }
        self.expecting = true; // a probe is usually captured before the call that sends it returns
        match &mut self.edge {
            Edge::Packets(packets) => packets.sender.send(transmit),
            Edge::Sockets(sockets) => sockets.send(transmit),
        }
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        // A frame that was stamped by `until` can be read by then.
        let quiet_at = until.map(|until| until.after(self.grace()));
        while !self.edge.has_frame() {
            if let Some(other) = self.expect_frame(quiet_at)? {
                return Ok(other);
            }
        }
        self.next_frame()
    }
}

impl LiveLink {
    /// Reads or waits once. Returns the outcome if it is not frames.
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
            if self.edge.has_frame() {
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
        // A step is reported once no frame from before it can come any longer.
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

    /// Reads the frames that are there, and then the clocks; `now` is the time before.
    fn read(&mut self, now: Timestamp) -> Result<(), LinkError> {
        self.expecting = match self.edge.read() {
            Ok(more) => more,
            // The error is reported once, and the socket captures again as soon as the interface is up.
            Err(error) if self.survive_link_down && is_down(&error) && self.is_there() => false,
            Err(source) => return Err(broken(&self.interface, source)),
        };
        let emptied = (!self.expecting).then(|| now.before(self.grace()));
        self.timeline.note_read(&self.clocks.read(), emptied);
        Ok(())
    }

    /// The next frame that was read, or a step of the clock before it.
    fn next_frame(&mut self) -> Result<Received<'_>, LinkError> {
        let stamp = self.edge.next_stamp().map(|stamp| self.clocks.restamped(stamp));
        let placed = stamp.map(|stamp| self.timeline.place(stamp)).transpose();
        let at = match placed {
            Ok(at) => at.unwrap_or_default(),
            Err(step) => return Ok(Received::ClockStep(step)),
        };
        let now = || self.timeline.at(self.clocks.steady());
        let (captured, at) = match &mut self.edge {
            Edge::Sockets(sockets) => match sockets.next() {
                Some(captured) => (captured, at),
                None => return Ok(Received::Woken),
            },
            Edge::Packets(packets) => {
                let captured = match packets.capture.next() {
                    Some(Ok(captured)) => Captured { at, ..captured },
                    Some(Err(source)) => return Err(broken(&self.interface, source)),
                    None => return Ok(Received::Woken),
                };
                let at = match &mut self.hardware {
                    None => at,
                    Some(hardware) => hardware.stamp(packets.sender.as_fd(), &captured, now),
                };
                (captured, at)
            }
        };
        let Captured { link, interface, bytes, original_len, evidence, .. } = captured;
        let original_len = u32::try_from(original_len).unwrap_or(u32::MAX);
        let whole = Frame::whole(at, link, bytes);
        Ok(Received::Frame(Frame { original_len, interface, evidence, ..whole }))
    }
}

/// Whether an interface is down or was removed.
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
