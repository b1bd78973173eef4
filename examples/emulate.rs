//! The simulated network of [`rtrace::link::sim`], in real time, behind a TUN device: any tool can be
//! run over it, not just rtrace.
//!
//! What the host routes into the device goes through the topology when it is read; each answer is written
//! back at its time, to within some microseconds. With `--log`, every datagram gets a line of CSV when it
//! is read, and one more for each answer when that was written; both times are those of `CLOCK_REALTIME`.
//! They are how the emulator saw it; the kernel's own stamps are on the device (tcpdump).
//!
//! Best used in a network namespace of its own, where it cannot take anything from the host:
//!
//! ```sh
//! ip netns add lab
//! ip -n lab tuntap add tun0 mode tun
//! ip -n lab address add 192.0.2.2/32 dev tun0
//! ip -n lab link set tun0 up
//! ip -n lab route add default dev tun0
//! ip netns exec lab cargo run --release --example emulate -- benches/topologies/ten-hops-40ms.toml &
//! ip netns exec lab traceroute -n 203.0.113.9
//! ip netns delete lab
//! ```
//!
//! A datagram leaves the model when it is read, so scheduling of this process makes a round trip longer,
//! never wrong: who judges a tool compares it with the stamps, not with the topology.

#![expect(
    unsafe_code,
    reason = "a TUN device is had by an ioctl on its file, nothing else does it"
)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Parser;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use rtrace::link::sim::{START, SimLink, Topology};
use rtrace::time::{Span, Timestamp};
use rtrace::wire::ip;
use serde::Serialize;

/// So long before an answer is due the emulator stops sleeping and looks again and again.
const SPIN: Span = Span::from_micros(50);

/// Longest IP datagram.
const MAX_DATAGRAM: usize = 65_536;

/// A simulated network behind a TUN device, for any tool.
#[derive(Debug, Parser)]
struct Arguments {
    /// The network: see `rtrace::link::sim::Topology::parse`
    topology: PathBuf,

    /// The TUN device; it is made if there is none of this name, and then goes with this process
    #[arg(long, default_value = "tun0")]
    device: String,

    /// Write a line of CSV for each datagram and each answer
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// What a probe's lines in the log begin with.
#[derive(Clone, Debug, Serialize)]
struct Probe {
    number: u64,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ttl: u8,
    /// IPv4: identification.
    id: Option<u16>,
    /// The first four octets after the IP header: the ports, if it is UDP or TCP; type, code and
    /// checksum of an ICMP message.
    first: Option<u16>,
    second: Option<u16>,
    /// The next two: for ICMP echo, identifier and sequence number.
    third: Option<u16>,
    fourth: Option<u16>,
    read_ns: u128,
    /// Empty in the line for the reading itself.
    written_ns: Option<u128>,
}

impl Probe {
    /// What there is to say of a datagram; `None` if it is no IP, or no matter for this network
    /// (hosts announce themselves to multicast groups on any new device).
    fn read(number: u64, datagram: &[u8]) -> Option<Self> {
        let (header, message) = ip::decode(datagram).ok()?;
        let mut words = message.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair));
        (!header.destination.is_multicast()).then(|| Self {
            number,
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            ttl: header.ttl,
            id: header.id,
            first: words.next(),
            second: words.next(),
            third: words.next(),
            fourth: words.next(),
            read_ns: realtime(),
            written_ns: None,
        })
    }
}

/// The network, and the answers that are not due yet.
struct Emulator {
    device: File,
    network: SimLink,
    started: Instant,
    probes: u64,
    /// By the time they are due, then in the order of their causes.
    pending: BTreeMap<(Timestamp, u64), (Probe, Vec<u8>)>,
    caused: u64,
    log: Option<csv::Writer<File>>,
}

impl Emulator {
    /// The present on the clock of the model, which began when the emulator did.
    fn now(&self) -> Timestamp {
        let nanos = i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX);
        START.after(Span::from_nanos(nanos))
    }

    /// Turns for ever.
    fn run(&mut self) -> anyhow::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            self.wait()?;
            self.take_in(&mut buffer)?;
            self.give_out()?;
        }
    }

    /// Until a datagram can be read, or shortly before the next answer is due.
    fn wait(&self) -> anyhow::Result<()> {
        let timeout = self.pending.first_key_value().map(|((due, _), _)| {
            let nanos = due.before(SPIN).since(self.now()).nanos();
            TimeSpec::from_duration(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
        });
        let mut fds = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(problem) => Err(problem).context("cannot wait on the TUN device"),
        }
    }

    /// Reads what is there, and lets the model say what comes of it.
    fn take_in(&mut self, buffer: &mut [u8]) -> anyhow::Result<()> {
        loop {
            let length = match self.device.read(buffer) {
                Ok(length) => length,
                Err(none) if none.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(problem) => return Err(problem).context("cannot read from the TUN device"),
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            let Some(probe) = Probe::read(self.probes, datagram) else { continue };
            self.probes += 1;
            let now = self.now();
            for (due, answer) in self.network.answers(now, datagram) {
                self.caused += 1;
                self.pending.insert((due, self.caused), (probe.clone(), answer));
            }
            self.note(&probe)?;
        }
    }

    /// Writes every answer that is due.
    fn give_out(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        while let Some(next) = self.pending.first_entry().filter(|next| next.key().0 <= now) {
            let (mut probe, answer) = next.remove();
            // What the host refuses (the device is down, the queue full) is lost, as on any cable.
            if self.device.write(&answer).is_ok() {
                probe.written_ns = Some(realtime());
                self.note(&probe)?;
            }
        }
        Ok(())
    }

    /// A line in the log, on disk at once: this process is ended by a signal.
    fn note(&mut self, probe: &Probe) -> anyhow::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        log.serialize(probe)?;
        log.flush().context("cannot write the log")
    }
}

/// `CLOCK_REALTIME`, which is the kernel's clock for stamps too.
fn realtime() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// The TUN device of this name: whole IP datagrams, nothing before them; reads do not block.
fn open(name: &str) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun: load the module with: modprobe tun")?;
    // SAFETY: `ifreq` is plain data, for which zeroes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        bail!("{name:?} is no name for a device: write 1 to 15 letters");
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = i16::try_from(flags)?;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives past the call; the file is open.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    Errno::result(result).with_context(|| {
        format!("cannot have the TUN device {name}: run as root, and end who else has it")
    })?;
    Ok(file)
}

/// The topology in this file.
fn read_topology(path: &Path) -> anyhow::Result<Topology> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the topology {}", path.display()))?;
    Ok(Topology::parse(&text, &path.display().to_string())?)
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let topology = read_topology(&arguments.topology)?;
    let log = arguments.log.as_ref().map(csv::Writer::from_path).transpose()?;
    let device = open(&arguments.device)?;
    println!("{}: probe from {}", arguments.device, topology.source());
    let mut emulator = Emulator {
        device,
        network: SimLink::new(topology),
        started: Instant::now(),
        probes: 0,
        pending: BTreeMap::new(),
        caused: 0,
        log,
    };
    emulator.run()
}
