//! The live link against real kernels, each test in a network namespace of its own that ends with
//! the test's thread. Without the right to make one (root) they pass without having tested anything.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::route::resolve;
use super::*;
use crate::probe::ProbeType;
use crate::wire::{ipv4, ipv6, link};

mod every_probe;
mod many;
mod reflected;
mod unprivileged;

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Runs `test` in a fresh namespace after these `ip` commands.
fn in_namespace(commands: &[&str], test: impl FnOnce() + Send) {
    let inside = || {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
            eprintln!("skipped: cannot make a network namespace: {errno}");
            return;
        }
        for command in commands {
            ip(command);
        }
        test();
    };
    thread::scope(|scope| scope.spawn(inside).join())
        .unwrap_or_else(|e| std::panic::resume_unwind(e));
}

fn ip(command: &str) {
    let status = Command::new("ip").args(command.split(' ')).status().unwrap();
    assert!(status.success(), "ip {command}");
}

/// For probes of this protocol along the kernel's own route, or that by an interface.
fn open_link(config: &LiveConfig) -> Result<LiveLink, OpenError> {
    LiveLink::open(config, Stamping::ask())
}

fn config(target: IpAddr, zone: Option<&str>, iface: Option<&str>, protocol: u8) -> LiveConfig {
    let any = iface == Some(ANY);
    let alone = iface.is_some() && !any;
    LiveConfig { alone, any, ..to_all(vec![live_target(target, zone, iface)], protocol) }
}

/// For probes of this protocol to all these.
fn to_all(targets: Vec<LiveTarget>, protocol: u8) -> LiveConfig {
    LiveConfig {
        targets,
        probe: probes_of(protocol),
        any_source_port: false,
        confirming: false,
        alone: false,
        any: false,
        clock: Clock::Kernel,
        survive_link_down: false,
    }
}

fn live_target(address: IpAddr, zone: Option<&str>, iface: Option<&str>) -> LiveTarget {
    let route = resolve(address, zone, iface, None).unwrap();
    LiveTarget { route, address, source_port: None }
}

/// Probes that have this protocol.
fn probes_of(protocol: u8) -> ProbeType {
    match protocol {
        ipv4::UDP => ProbeType::Udp,
        ipv4::TCP => ProbeType::TcpSyn,
        ipv4::UDP_LITE => ProbeType::UdpLite,
        ipv4::ICMP | ipv6::ICMPV6 => ProbeType::IcmpEcho,
        other => ProbeType::Protocol(other),
    }
}

/// That configuration, with this port for its one target.
fn from_port(port: Option<u16>, mut config: LiveConfig) -> LiveConfig {
    config.targets.iter_mut().for_each(|target| target.source_port = port);
    config
}

fn open(target: Ipv4Addr, iface: Option<&str>) -> LiveLink {
    open_link(&config(target.into(), None, iface, ipv4::UDP)).unwrap()
}

/// A probe of 28 bytes, without checksums: the kernel fills in that of the IP header.
fn datagram(source: Ipv4Addr, target: Ipv4Addr, source_port: u16) -> Vec<u8> {
    let [sport, dport] = [source_port, 33_434].map(u16::to_be_bytes);
    [
        &[0x45, 0, 0, 28, 0x12, 0x34, 0, 0, 1, 17, 0, 0],
        source.octets().as_slice(),
        &target.octets(),
        &sport,
        &dport,
        &[0, 8, 0, 0],
    ]
    .concat()
}

/// The next frame's datagram and stamp; at the latest in a minute.
fn next(live: &mut LiveLink) -> (Vec<u8>, Timestamp) {
    let until = live.now().after(Span::from_secs_f64(60.0));
    loop {
        match live.receive(Some(until)).unwrap() {
            Received::Frame(frame) => {
                let datagram = link::ip_datagram(frame.link, frame.bytes).unwrap().unwrap();
                return (datagram.to_vec(), frame.at);
            }
            Received::Woken => {}
            other => panic!("no frame but {other:?}"),
        }
    }
}

const LAB: &[&str] = &[
    "link set lo up",
    "link add up0 type veth peer name peer0",
    "link set up0 up",
    "link set peer0 up",
    "address add 10.0.0.1/24 dev up0",
    "address add 10.0.0.5/24 dev up0",
    "link add down0 type veth peer name peer1",
    "address add 10.0.1.1/24 dev down0",
    "link add bare0 type veth peer name peer2",
    "link set bare0 up",
    "tuntap add mode tun name tun0",
    "address add 10.0.2.1/24 dev tun0",
    "link set tun0 up",
    "route add blackhole 10.0.3.0/24",
    "route add 10.0.4.0/24 via 10.0.0.2 src 10.0.0.5",
    "route add 10.0.4.0/24 dev tun0 table 7",
    "rule add from 10.0.0.5 table 7",
];

#[test]
fn routes_are_the_kernels() {
    in_namespace(LAB, || {
        for (target, iface, interface, source, link) in [
            ([10, 0, 0, 2], None, "up0", [10, 0, 0, 1], LinkType::Ethernet),
            ([10, 0, 0, 2], Some("any"), "up0", [10, 0, 0, 1], LinkType::Ethernet),
            ([10, 0, 0, 1], Some("up0"), "lo", [10, 0, 0, 1], LinkType::Ethernet),
            ([10, 0, 2, 9], None, "tun0", [10, 0, 2, 1], LinkType::Raw),
            ([8, 8, 8, 8], Some("tun0"), "tun0", [10, 0, 2, 1], LinkType::Raw),
            // The source address is chosen first, and policy routing goes by it.
            ([10, 0, 4, 1], None, "tun0", [10, 0, 0, 5], LinkType::Raw),
        ] {
            let route = resolve(IpAddr::from(target), None, iface, None).unwrap();
            let got = (route.interface.name.as_str(), route.source, route.interface.link);
            assert_eq!(got, (interface, IpAddr::from(source), link), "{target:?} {iface:?}");
        }
    });
}

#[test]
fn a_missing_route_says_what_is_wrong() {
    in_namespace(LAB, || {
        for (target, iface, source, message) in [
            ([8, 8, 8, 8], None, None, "no route to 8.8.8.8: Network is unreachable"),
            ([10, 0, 3, 1], None, None, "no route to 10.0.3.1: the routing table discards"),
            ([10, 0, 0, 2], Some("down0"), None, "interface down0 is down: bring it up"),
            ([10, 0, 0, 2], Some("bare0"), None, "interface bare0 has no IPv4 address: give"),
            ([10, 0, 0, 2], Some("eth9"), None, "there is no interface eth9: choose one of lo"),
            ([10, 0, 0, 2], None, Some([10, 0, 0, 2]), "10.0.0.2 is not an address of this host"),
        ] {
            let error =
                resolve(IpAddr::from(target), None, iface, source.map(IpAddr::from)).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
        }
    });
}

#[test]
fn a_probe_and_its_answer_are_each_seen_once_with_stamps_of_the_kernel() {
    for iface in [None, Some(ANY)] {
        in_namespace(LAB, || {
            let mut live = open(LOCALHOST, iface);
            let probe = datagram(LOCALHOST, LOCALHOST, live.ident(0));
            let before = live.now();
            live.send(&Transmit { destination: LOCALHOST.into(), datagram: &probe }).unwrap();
            let after = live.now();
            let (probe, answer) = (next(&mut live), next(&mut live));
            assert_eq!((probe.0[9], answer.0[9]), (ipv4::UDP, ipv4::ICMP));
            // A stamp of reading would lie past the sending.
            assert!(before <= probe.1 && probe.1 <= after && probe.1 <= answer.1);
            let quiet = live.receive(Some(after)).unwrap();
            assert!(matches!(quiet, Received::Quiet(at) if at >= after), "{quiet:?}");
            assert_eq!(
                live.statistics().unwrap().unwrap(),
                Statistics { received: 2, dropped: 0, elsewhere: 0 }
            );
        });
    }
}

/// More than two batches, all of it waiting before the first is read.
const BURST: u16 = 50;

/// A link to this host after a burst of probes, which the kernel answers at once. (An ID of 0 is one
/// that it would choose itself.)
fn after_a_burst() -> LiveLink {
    let mut live = open(LOCALHOST, None);
    for id in 1..=BURST {
        let mut probe = datagram(LOCALHOST, LOCALHOST, live.ident(0));
        probe[4..6].copy_from_slice(&id.to_be_bytes());
        live.send(&Transmit { destination: LOCALHOST.into(), datagram: &probe }).unwrap();
    }
    live
}

#[test]
fn a_burst_is_handed_out_in_order_before_any_word_of_quiet() {
    in_namespace(LAB, || {
        let before = realtime();
        let mut live = after_a_burst();
        let (mut ids, mut stamps) = (Vec::new(), Vec::new());
        loop {
            match live.receive(Some(before)).unwrap() {
                Received::Frame(frame) => {
                    let datagram = link::ip_datagram(frame.link, frame.bytes).unwrap().unwrap();
                    if datagram[9] == ipv4::UDP {
                        ids.push(u16::from_be_bytes([datagram[4], datagram[5]]));
                    }
                    stamps.push(frame.at);
                }
                Received::Quiet(_) => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(ids.iter().copied().eq(1..=BURST), "{ids:?}");
        assert_eq!(stamps.len(), 2 * usize::from(BURST), "each with its answer");
        assert!(stamps.is_sorted() && stamps[0] > before);
    });
}

#[test]
fn a_wake_up_waits_for_one_batch_at_most() {
    in_namespace(LAB, || {
        let mut live = after_a_burst();
        next(&mut live);
        live.waker().wake();
        let frames = std::iter::repeat_with(|| match live.receive(None).unwrap() {
            Received::Frame(_) => true,
            Received::Woken => false,
            other => panic!("{other:?}"),
        });
        assert_eq!(frames.take_while(|is_frame| *is_frame).count(), sys::BATCH - 1);
    });
}

#[test]
fn a_wait_without_end_ends_when_woken() {
    in_namespace(LAB, || {
        let mut live = open(LOCALHOST, None);
        let waker = live.waker();
        thread::spawn(move || waker.wake());
        assert!(matches!(live.receive(None).unwrap(), Received::Woken));
    });
}

#[test]
fn an_interface_that_goes_down_takes_no_probe() {
    in_namespace(LAB, || {
        let mut live = open([10, 0, 0, 2].into(), None);
        ip("link set up0 down");
        let target = Ipv4Addr::new(10, 0, 0, 2);
        let probe = datagram([10, 0, 0, 1].into(), target, live.ident(0));
        let sent = live.send(&Transmit { destination: target.into(), datagram: &probe });
        assert!(matches!(sent, Err(LinkError::Refused { .. })), "{sent:?}");
        let now = live.now();
        assert!(matches!(live.receive(Some(now)).unwrap(), Received::Quiet(_)));
    });
}

#[test]
fn what_the_kernel_refuses_concerns_one_datagram_only() {
    in_namespace(LAB, || {
        let target = Ipv4Addr::new(10, 0, 0, 2);
        let mut live = open(target, None);
        let mut long = datagram([10, 0, 0, 1].into(), target, live.ident(0));
        long.resize(1_501, 0);
        for datagram in [long.as_slice(), &[0x45; 19]] {
            let sent = live.send(&Transmit { destination: target.into(), datagram });
            assert!(matches!(sent, Err(LinkError::Refused { .. })), "{sent:?}");
        }
    });
}

#[test]
fn no_device_here_has_hardware_stamps() {
    in_namespace(LAB, || {
        for (target, iface) in [(LOCALHOST, "lo"), ([10, 0, 0, 2].into(), "up0")] {
            let config = config(target.into(), None, None, ipv4::UDP);
            let error = open_link(&LiveConfig { clock: Clock::Hardware, ..config });
            let error = error.err().unwrap().to_string();
            let line = format!("{iface} has no hardware stamps for both directions (see: ethtool ");
            assert!(error.starts_with(&line), "{error}");
        }
    });
}

#[test]
fn what_is_to_be_done_afterwards_is_done_by_another_process() {
    use std::io::Read;
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let pid = || std::process::id().to_ne_bytes();
    let last = sys::afterwards(|| drop(std::io::Write::write(&mut &theirs, &pid()))).unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut who = [0; 4];
    assert!(ours.read(&mut who).is_err(), "not yet");
    drop(last);
    assert_eq!(ours.read(&mut who).unwrap(), who.len());
    assert_ne!(who, pid());
}

/// The child restores the setting with its own privilege, after this process has dropped all.
#[test]
fn what_is_done_afterwards_is_done_with_the_rights_from_before() {
    use std::io::{Read, Write};
    const RIGHT: CapabilitySet = CapabilitySet::NET_ADMIN;
    let has = || capabilities(None).unwrap().effective.contains(RIGHT);
    if !has() {
        return eprintln!("skipped: needs root");
    }
    let drop_all = move || {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let last = sys::afterwards(|| {
            let alone = has() && capabilities(None).unwrap().permitted == RIGHT;
            drop(Write::write(&mut &theirs, &[u8::from(alone)]));
        })
        .unwrap();
        let none = CapabilitySet::empty();
        let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, none).unwrap();
        assert!(!has());
        drop(last);
        let mut had = [0];
        ours.read_exact(&mut had).unwrap();
        assert_eq!(had, [1]);
    };
    // Capabilities are a thread's.
    thread::spawn(drop_all).join().unwrap();
}

#[test]
fn a_port_in_use_is_named() {
    in_namespace(LAB, || {
        let first = open(LOCALHOST, None);
        let taken = Some(first.ident(0));
        let config = from_port(taken, config(LOCALHOST.into(), None, None, ipv4::UDP));
        let error = open_link(&config).err().unwrap().to_string();
        let port = first.ident(0);
        assert!(error.starts_with(&format!("cannot take UDP port 127.0.0.1:{port}: ")), "{error}");
    });
}

/// The kernel would choose one above 32767.
#[test]
fn source_ports_are_random() {
    in_namespace(LAB, || {
        let links: Vec<_> = (0..40).map(|_| open(LOCALHOST, None)).collect();
        let ports: Vec<u16> = links.iter().map(|live| live.ident(0)).collect();
        assert!(ports.iter().all(|port| *port >= 1_024), "{ports:?}");
        assert!(ports.iter().any(|port| *port < 32_768), "{ports:?}");
        assert!(ports.windows(2).any(|pair| pair[0] > pair[1]), "{ports:?}");
    });
}

/// The kernel's clocks, but that the one which stamps is set so far ahead of the kernel's when a probe has been sent.
struct Stepping(Arc<AtomicI64>);

impl Clocks for Stepping {
    fn steady(&self) -> Timestamp {
        Kernel.steady()
    }

    fn stamping(&self) -> Timestamp {
        self.restamped(Kernel.stamping())
    }

    fn restamped(&self, stamp: Timestamp) -> Timestamp {
        stamp.after(Span::from_nanos(self.0.load(Ordering::SeqCst)))
    }
}

#[test]
fn a_clock_that_is_set_is_told_of_before_the_frames_stamped_by_it_and_holds_nothing_up() {
    for by in [-3600, -20, 7200].map(|secs| Span::from_secs_f64(f64::from(secs))) {
        in_namespace(LAB, || {
            let mut live = open(LOCALHOST, None);
            let set = Arc::new(AtomicI64::new(0));
            live.clocks = Box::new(Stepping(Arc::clone(&set)));
            let mut stamps = Vec::new();
            let mut steps = Vec::new();
            for round in 0..2 {
                let probe = datagram(LOCALHOST, LOCALHOST, live.ident(0));
                live.send(&Transmit { destination: LOCALHOST.into(), datagram: &probe }).unwrap();
                let until = live.now();
                loop {
                    match live.receive(Some(until)).unwrap() {
                        Received::Frame(frame) => stamps.push(frame.at),
                        Received::ClockStep(step) => steps.push((stamps.len(), step)),
                        // By the time of the run: nothing is waited for that is past.
                        Received::Quiet(at) => {
                            assert!(at >= until && at.since(until) < Span::from_secs_f64(10.0));
                            break;
                        }
                        Received::Woken => {}
                        other => panic!("{other:?}"),
                    }
                }
                if round == 0 {
                    set.store(by.nanos(), Ordering::SeqCst);
                }
            }
            assert!(stamps.len() >= 4 && stamps.is_sorted(), "{stamps:?}");
            let [(before, step)] = steps[..] else { panic!("{steps:?}") };
            // The frames of the first probe, and no other.
            assert_eq!(before, stamps.len() / 2);
            assert!(step.by.less(by).abs() < Span::from_millis(1), "{step:?}");
            assert!(step.from.unwrap() <= step.until && step.until < stamps[before], "{step:?}");
            assert!(stamps[before - 1] <= step.until, "{stamps:?} {step:?}");
        });
    }
}

/// The kernel would cancel it, were the clock set: that cannot be tried here.
#[test]
fn nothing_wakes_a_link_whose_clock_is_left_alone() {
    let settings = Settings::open();
    settings.drain();
    let mut fds = [PollFd::new(settings.descriptor().expect("a timer"), PollFlags::POLLIN)];
    assert_eq!(ppoll(&mut fds, Some(TimeSpec::new(0, 0)), None), Ok(0));
}
