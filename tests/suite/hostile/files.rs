//! Hostile files, as small or as large as is asked for: each is one kind of excess that a stranger can put into a
//! recording. `cargo run --example hostile DIRECTORY SIZE` writes all of them.

use std::net::Ipv4Addr;

use rtrace::recording::RecordingMetadata;
use rtrace::trace::paths::Plan as PathsPlan;
use rtrace::trace::rounds::Plan;
use rtrace::trace::{Measurement, TraceConfig};
use rtrace::wire::checksum::{checksum, transport};
use serde_json::{Value, json};

pub const SOURCE: [u8; 4] = [192, 0, 2, 2];
pub const TARGET: [u8; 4] = [203, 0, 113, 9];
/// When a recording begins, in nanoseconds.
const BEGIN: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;
const RAW: u16 = 101;

/// A file: its name, and what is in it when it is to be so large.
pub type Made = (&'static str, fn(usize) -> Vec<u8>);

pub const FILES: &[Made] = &[
    ("options.pcapng", options),
    ("comments.pcapng", comments),
    ("sections.pcapng", sections),
    ("interfaces.pcapng", interfaces),
    ("names.pcapng", names),
    ("short-names.pcapng", short_names),
    ("long-names.pcapng", long_names),
    ("statistics.pcapng", statistics),
    ("fast-rounds.pcapng", fast_rounds),
    ("wide-rounds.pcapng", wide_rounds),
    ("gaps.pcapng", gaps),
    ("last-round.pcapng", last_round),
    ("all-paths.pcapng", all_paths),
    ("wide.pcapng", wide),
    ("campaign.pcap", campaign),
    ("one-port.pcap", one_port),
    ("one-target.pcap", one_target),
    ("one-flow.pcap", one_flow),
    ("silent.pcap", silent),
    ("answered.pcap", answered),
    ("backwards.pcap", backwards),
    ("stamps.pcap", stamps),
    ("duplicates.pcap", duplicates),
    ("replies.pcap", replies),
    ("orphans.pcap", orphans),
    ("foreign.pcap", foreign),
    ("extensions.pcap", extensions),
    ("sizers.pcap", sizers),
    ("scouts.pcap", scouts),
    ("pairs.pcap", pairs),
    ("noise.pcap", noise),
];

// Frames: raw IP.

fn ipv4(
    protocol: u8,
    (from, to): ([u8; 4], [u8; 4]),
    (ttl, id): (u8, u16),
    body: &[u8],
) -> Vec<u8> {
    let len = u16::try_from(20 + body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let [id_high, id_low] = id.to_be_bytes();
    let mut datagram = vec![0x45, 0, len[0], len[1], id_high, id_low, 0, 0, ttl, protocol, 0, 0];
    datagram.extend(from);
    datagram.extend(to);
    let sum = checksum(&datagram).to_be_bytes();
    datagram[10..12].copy_from_slice(&sum);
    datagram.extend(body);
    datagram
}

/// A UDP probe: addresses, ports, TTL and IP-ID, length of what follows.
#[derive(Clone, Copy)]
struct Probe {
    to: [u8; 4],
    ports: (u16, u16),
    ttl: u8,
    id: u16,
    len: usize,
}

const PROBE: Probe = Probe { to: TARGET, ports: (40_000, 33_434), ttl: 1, id: 1, len: 32 };

impl Probe {
    /// Number `number` of a trace with three probes for each of 30 hops.
    fn numbered(number: usize) -> Self {
        let hop = number / 3 % 30;
        let ports = (40_000, 33_434 + low(number % 90));
        Self { ports, ttl: byte(hop + 1), id: low(number), ..PROBE }
    }

    fn bytes(self) -> Vec<u8> {
        let mut udp = Vec::new();
        udp.extend(self.ports.0.to_be_bytes());
        udp.extend(self.ports.1.to_be_bytes());
        udp.extend(u16::try_from(8 + self.len).unwrap_or(u16::MAX).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend((0..self.len).map(|at| 0x40 + byte(at % 64)));
        let (from, to) = (Ipv4Addr::from(SOURCE).into(), Ipv4Addr::from(self.to).into());
        let sum = transport(from, to, 17, &udp).to_be_bytes();
        udp[6..8].copy_from_slice(&sum);
        ipv4(17, (SOURCE, self.to), (self.ttl, self.id), &udp)
    }

    /// A router's word that its TTL ran out, with this appended.
    fn expired(self, appended: &[u8]) -> Vec<u8> {
        let mut icmp = vec![11, 0, 0, 0, 0, 0, 0, 0];
        let mut quote = self.bytes();
        if !appended.is_empty() {
            quote.resize(128, 0);
            icmp[5] = 32;
        }
        icmp.extend(quote);
        icmp.extend(appended);
        let sum = checksum(&icmp).to_be_bytes();
        icmp[2..4].copy_from_slice(&sum);
        ipv4(1, ([10, 0, 0, self.ttl], SOURCE), (60, 9), &icmp)
    }
}

fn low(number: usize) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or_default()
}

fn byte(number: usize) -> u8 {
    u8::try_from(number & 0xff).unwrap_or_default()
}

// Classic pcap, in nanoseconds.

struct Pcap(Vec<u8>);

impl Pcap {
    fn new(snaplen: u32) -> Self {
        let mut file = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
        file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(snaplen.to_le_bytes());
        file.extend(u32::from(RAW).to_le_bytes());
        Self(file)
    }

    fn frame(&mut self, at: u64, bytes: &[u8]) {
        let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
        let len = u32::try_from(bytes.len()).unwrap_or_default();
        for word in [u32::try_from(seconds).unwrap_or(u32::MAX), nanos as u32, len, len] {
            self.0.extend(word.to_le_bytes());
        }
        self.0.extend(bytes);
    }
}

// pcapng.

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut option = code.to_le_bytes().to_vec();
    option.extend(low(value.len()).to_le_bytes());
    option.extend(value);
    option.resize(option.len().next_multiple_of(4), 0);
    option
}

struct PcapNg(Vec<u8>);

impl PcapNg {
    /// One section with these options, and an interface with a clock of nanoseconds.
    fn new(options: &[u8]) -> Self {
        let mut file = Self(Vec::new());
        file.section(options);
        file.interface();
        file
    }

    /// One that says what was asked.
    fn of(carried: &RecordingMetadata) -> Self {
        Self::new(&option(1, carried.to_comment().as_bytes()))
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let body_len = body.len().next_multiple_of(4);
        let len = u32::try_from(body_len + 12).unwrap_or(u32::MAX).to_le_bytes();
        self.0.extend(kind.to_le_bytes());
        self.0.extend(len);
        self.0.extend(body);
        self.0.resize(self.0.len() + body_len - body.len(), 0);
        self.0.extend(len);
    }

    fn section(&mut self, options: &[u8]) {
        let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
        body.extend([1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        body.extend(options);
        self.block(0x0a0d_0d0a, &body);
    }

    fn interface(&mut self) {
        let mut body = RAW.to_le_bytes().to_vec();
        body.extend([0; 6]);
        body.extend(option(9, &[9]));
        self.block(1, &body);
    }

    fn frame(&mut self, interface: u32, at: u64, bytes: &[u8], options: &[u8]) {
        let len = u32::try_from(bytes.len()).unwrap_or_default();
        let mut body = Vec::new();
        for word in [interface, (at >> 32) as u32, at as u32, len, len] {
            body.extend(word.to_le_bytes());
        }
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options);
        self.block(6, &body);
    }

    /// A trace of three hops, so that there is something to replay.
    fn trace(mut self, at: u64) -> Vec<u8> {
        for number in 0..9 {
            let probe = Probe::numbered(number);
            self.frame(0, at + number as u64 * MS, &probe.bytes(), &[]);
            self.frame(0, at + number as u64 * MS + MS / 2, &probe.expired(&[]), &[]);
        }
        self.0
    }
}

fn config() -> TraceConfig {
    TraceConfig::new(Ipv4Addr::from(SOURCE).into(), Ipv4Addr::from(TARGET).into(), 40_000)
}

fn rounds(interval: f64) -> RecordingMetadata {
    let plan = Plan { interval, rounds: None, until: None };
    RecordingMetadata::of(config(), Measurement::Rounds(plan))
}

// Excesses of the format.

fn options(size: usize) -> Vec<u8> {
    let mut file = PcapNg::new(&[]);
    let empty: Vec<u8> = std::iter::repeat_n(option(1, &[]), size).flatten().collect();
    file.frame(0, BEGIN, &PROBE.bytes(), &empty);
    file.trace(BEGIN)
}

fn comments(size: usize) -> Vec<u8> {
    let many: Vec<u8> = std::iter::repeat_n(option(1, b"x"), size).flatten().collect();
    let mut file = PcapNg::new(&many);
    for _ in 0..size / 10_000 {
        file.frame(0, BEGIN, &PROBE.bytes(), &option(1, &[b'\x1b'; 65_000]));
    }
    file.trace(BEGIN)
}

fn sections(size: usize) -> Vec<u8> {
    let mut file = PcapNg::new(&[]);
    for number in 0..size {
        if number % 2 == 0 {
            file.section(&[]);
        } else {
            // The same in the other byte order.
            let mut block =
                vec![0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0];
            block.extend([255; 8]);
            block.extend([0, 0, 0, 28]);
            file.0.extend(block);
        }
    }
    file.section(&[]);
    file.interface();
    file.trace(BEGIN)
}

fn interfaces(size: usize) -> Vec<u8> {
    let mut file = PcapNg::new(&[]);
    (0..size).for_each(|_| file.interface());
    let last = u32::try_from(size).unwrap_or_default();
    let file = &mut PcapNg(file.trace(BEGIN));
    file.frame(last, BEGIN + 20 * MS, &Probe::numbered(9).bytes(), &[]);
    std::mem::take(&mut file.0)
}

fn names(size: usize) -> Vec<u8> {
    let mut file = PcapNg::new(&[]);
    for number in 0..size {
        let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
        file.block(4, &[option(1, &[10, a, b, c, b'n', 0]), vec![0; 4]].concat());
    }
    file.trace(BEGIN)
}

fn short_names(size: usize) -> Vec<u8> {
    let mut file = PcapNg::new(&[]);
    let mut records = Vec::new();
    for number in 0..size {
        let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
        if records.len() < (16 << 20) - 64 {
            records.extend(option(1, &[10, a, b, c, b'n', 0, b'm', 0]));
        }
    }
    file.block(4, &records);
    file.trace(BEGIN)
}

fn long_names(size: usize) -> Vec<u8> {
    let mut file = PcapNg::new(&[]);
    for number in 0..size / 100 {
        let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
        let name = [&[10, a, b, c][..], &[b'\xff'; 60_000]].concat();
        file.block(4, &option(1, &name));
    }
    file.trace(BEGIN)
}

fn statistics(size: usize) -> Vec<u8> {
    let mut file = PcapNg::of(&rounds(1.0));
    for number in 0..size {
        let comment = format!("rounds {}\ninterrupted at {}", u64::MAX, i64::MAX - number as i64);
        file.block(5, &[vec![0; 12], option(1, comment.as_bytes())].concat());
    }
    file.trace(BEGIN)
}

// Excesses of what a recording says of itself.

fn frames_of(
    carried: &RecordingMetadata,
    size: usize,
    probe: fn(usize) -> (u64, Probe),
) -> Vec<u8> {
    let mut file = PcapNg::of(carried);
    for number in 0..size {
        let (at, probe) = probe(number);
        file.frame(0, BEGIN + at, &probe.bytes(), &[]);
    }
    file.0
}

/// The most probes, the most often.
fn fast_rounds(size: usize) -> Vec<u8> {
    let mut carried = rounds(0.01);
    (carried.trace.max_ttl, carried.trace.queries) = (255, 1_000);
    frames_of(&carried, size.min(60), |number| (number as u64 * 11 * MS, Probe { id: 7, ..PROBE }))
}

/// Very many probes a round, none of which is the first.
fn wide_rounds(size: usize) -> Vec<u8> {
    let mut carried = rounds(1.0);
    (carried.trace.max_ttl, carried.trace.queries) = (255, 1_000);
    frames_of(&carried, size.min(60), |number| {
        (number as u64 * 1_100 * MS, Probe { ports: (40_000, 2), id: 7, ..PROBE })
    })
}

/// One probe a round, of rounds that are far apart.
fn gaps(size: usize) -> Vec<u8> {
    frames_of(&rounds(0.01), size, |number| {
        let round = number * 32_000;
        (round as u64 * 10 * MS, Probe { id: low(1 + round * 90), ..PROBE })
    })
}

fn last_round(size: usize) -> Vec<u8> {
    let carried = RecordingMetadata { first_round: u64::MAX, ..rounds(1.0) };
    frames_of(&carried, size.min(90), |number| (number as u64 * MS, Probe::numbered(number)))
}

fn all_paths(size: usize) -> Vec<u8> {
    let plan = PathsPlan { max_probes: 65_000, ..PathsPlan::default() };
    let mut carried = RecordingMetadata::of(config(), Measurement::Paths(plan));
    carried.trace.max_ttl = 255;
    let mut file = PcapNg::of(&carried);
    for number in 0..size {
        let ports = (40_000, 33_434 + low(number / 255 % 30_000));
        let probe = Probe { ports, ttl: byte(number % 255 + 1), id: low(number), ..PROBE };
        file.frame(0, BEGIN + number as u64 * MS / 100, &probe.bytes(), &[]);
        if number % 2 == 0 {
            file.frame(0, BEGIN + number as u64 * MS / 100 + 1, &probe.expired(&[]), &[]);
        }
    }
    file.0
}

/// One trace, as large as one may be asked for; nothing is answered.
fn wide(size: usize) -> Vec<u8> {
    let mut carried = RecordingMetadata::of(config(), Measurement::Trace);
    (carried.trace.max_ttl, carried.trace.queries) = (255, 1_000);
    carried.trace.wait.max = 86_400.0;
    frames_of(&carried, size, |number| {
        let (ports, ttl) = ((40_000, low(33_434 + number)), byte(number % 255 + 1));
        (number as u64, Probe { ports, ttl, id: low(number / 7), ..PROBE })
    })
}

// Excesses of what packets show.

/// Traces of six probes, all answered, between them this long.
fn traces(size: usize, pause: u64, probe: fn(usize, usize) -> Probe) -> Vec<u8> {
    let mut file = Pcap::new(262_144);
    for trace in 0..size / 12 {
        for number in 0..6 {
            let probe = Probe { ttl: byte(number + 1), ..probe(trace, number) };
            let at = BEGIN + trace as u64 * pause + number as u64 * MS;
            file.frame(at, &probe.bytes());
            file.frame(at + MS / 2, &probe.expired(&[]));
        }
    }
    file.0
}

fn one_of_many(trace: usize, number: usize) -> Probe {
    let [_, _, a, b] = u32::try_from(trace).unwrap_or_default().to_be_bytes();
    let ports = (1_024 + low(trace % 60_000), 33_434 + low(number));
    Probe { to: [203, 0, a, b], ports, id: low(trace * 7 + number), ..PROBE }
}

fn campaign(size: usize) -> Vec<u8> {
    traces(size, 10 * MS, one_of_many)
}

fn one_port(size: usize) -> Vec<u8> {
    traces(size, 10 * MS, |trace, number| Probe {
        ports: (40_000, 33_434 + low(number)),
        ..one_of_many(trace, number)
    })
}

fn one_target(size: usize) -> Vec<u8> {
    traces(size, 10 * MS, |trace, number| Probe { to: TARGET, ..one_of_many(trace, number) })
}

fn one_flow(size: usize) -> Vec<u8> {
    traces(size, 400_000 * MS, |trace, number| Probe {
        to: TARGET,
        ports: (40_000, 33_434 + low(number)),
        ..one_of_many(trace, number)
    })
}

/// Probes of one trace, at these times.
fn probes(size: usize, at: fn(usize) -> u64, probe: fn(usize) -> Probe) -> Vec<u8> {
    let mut file = Pcap::new(0);
    for number in 0..size {
        file.frame(at(number), &probe(number).bytes());
    }
    file.0
}

fn silent(size: usize) -> Vec<u8> {
    probes(size, |_| BEGIN, |number| Probe { ttl: byte(number % 4 + 1), ..Probe::numbered(number) })
}

fn answered(size: usize) -> Vec<u8> {
    let mut file = Pcap::new(u32::MAX);
    for number in 0..size / 2 {
        let probe = Probe { ports: (40_000, low(33_434 + number)), ..Probe::numbered(number) };
        file.frame(BEGIN + number as u64 * MS, &probe.bytes());
        file.frame(BEGIN + number as u64 * MS + MS / 2, &probe.expired(&[]));
    }
    file.0
}

fn backwards(size: usize) -> Vec<u8> {
    probes(size, |number| BEGIN - number as u64 * MS, Probe::numbered)
}

fn stamps(size: usize) -> Vec<u8> {
    let at = |number: usize| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
    probes(size, at, Probe::numbered)
}

fn duplicates(size: usize) -> Vec<u8> {
    probes(size, |number| BEGIN + number as u64, |number| Probe::numbered(number % 9))
}

/// Replies of all kinds to one trace of nine probes.
fn after_a_trace(size: usize, reply: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut file = Pcap::new(262_144);
    for number in 0..9 {
        file.frame(BEGIN + number as u64, &Probe::numbered(number).bytes());
    }
    for number in 0..size {
        file.frame(BEGIN + MS + number as u64, &reply(number));
    }
    file.0
}

fn replies(size: usize) -> Vec<u8> {
    after_a_trace(size, |number| {
        let mut reply = PROBE.expired(&[]);
        // Each from another router; the checksum of the header is mended.
        let router = u32::try_from(number).unwrap_or_default().to_be_bytes();
        reply[12..16].copy_from_slice(&router);
        reply[10..12].fill(0);
        let sum = checksum(&reply[..20]).to_be_bytes();
        reply[10..12].copy_from_slice(&sum);
        reply
    })
}

fn orphans(size: usize) -> Vec<u8> {
    after_a_trace(size, |number| {
        Probe { ports: (40_000, low(number)), id: low(number / 3), ..PROBE }.expired(&[])
    })
}

/// Datagrams from the port of a trace to others.
fn foreign(size: usize) -> Vec<u8> {
    after_a_trace(size, |number| {
        let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
        let probe = Probe { to: [11, a, b, c], ttl: 64, id: low(number), ..PROBE };
        if number % 2 == 0 { probe.bytes() } else { probe.expired(&[]) }
    })
}

fn extensions(size: usize) -> Vec<u8> {
    // Three hundred empty objects.
    let mut appended = vec![0x20, 0, 0, 0];
    appended.extend([0, 4, 200, 1].repeat(300));
    let sum = checksum(&appended).to_be_bytes();
    appended[2..4].copy_from_slice(&sum);
    let mut file = Pcap::new(262_144);
    for number in 0..size / 8 {
        let probe = Probe { ports: (40_000, low(33_434 + number)), ..Probe::numbered(number) };
        file.frame(BEGIN + number as u64 * MS, &probe.bytes());
        file.frame(BEGIN + number as u64 * MS + MS / 2, &probe.expired(&appended));
    }
    file.0
}

fn sizers(size: usize) -> Vec<u8> {
    let mut file = Pcap::new(262_144);
    for number in 0..size / 3 {
        let port = 1_024 + low(number % 60_000);
        for (at, len) in [(0, 32), (1, 32), (2, 600)] {
            let probe =
                Probe { ports: (port, 33_434 + at), ttl: byte(usize::from(at) + 1), len, ..PROBE };
            let mut bytes = probe.bytes();
            bytes[6] = 0x40;
            bytes[10..12].fill(0);
            let sum = checksum(&bytes[..20]).to_be_bytes();
            bytes[10..12].copy_from_slice(&sum);
            file.frame(BEGIN + number as u64 * MS + u64::from(at), &bytes);
        }
    }
    file.0
}

fn scouts(size: usize) -> Vec<u8> {
    let mut file = Pcap::new(262_144);
    for number in 0..size / 2 {
        let probe = Probe { ttl: 255, id: low(number), ..PROBE };
        file.frame(BEGIN + number as u64, &probe.bytes());
        let probe = Probe { ttl: byte(number % 2 + 1), id: low(number), ..PROBE };
        file.frame(BEGIN + number as u64, &probe.bytes());
    }
    file.0
}

/// Each from another address, which is more than are looked at.
fn pairs(size: usize) -> Vec<u8> {
    let mut file = Pcap::new(262_144);
    for number in 0..size {
        let mut bytes = Probe::numbered(number % 3).bytes();
        bytes[12..16].copy_from_slice(&u32::try_from(number / 3).unwrap_or_default().to_be_bytes());
        file.frame(BEGIN + number as u64, &bytes);
    }
    file.0
}

/// The same source ports, TTLs and numbers for all, in no order.
fn noise(size: usize) -> Vec<u8> {
    probes(
        size,
        |number| BEGIN + number as u64 * 1_000,
        |number| {
            let any = number.wrapping_mul(0x9e37_79b9) >> 8;
            let ports = (1_024 + low(any % 97), 33_434 + low(any / 97 % 64));
            Probe { ports, ttl: byte(any / 7 % 30 + 1), id: low(any), ..PROBE }
        },
    )
}

// JSON documents for `rtrace diff`.

pub fn document(hops: impl IntoIterator<Item = Value>) -> Value {
    json!({
        "format": "rtrace-trace", "target": {"address": "203.0.113.9"}, "asked": {"flow": "paris", "tos": 0},
        "hops": hops.into_iter().collect::<Vec<_>>(), "stop": {"ttl": null, "target_reached": false},
    })
}

/// A document, likewise.
type Written = (&'static str, fn(usize) -> String);

pub const DOCUMENTS: &[Written] = &[
    ("many-hops.json", |size| {
        document((0..size).map(|at| json!({"ttl": at % 256, "probes": []}))).to_string()
    }),
    ("many-probes.json", |size| {
        let probes = vec![json!({"replies": []}); size];
        document([json!({"ttl": 1, "probes": probes})]).to_string()
    }),
    ("many-replies.json", |size| {
        let replies = vec![json!({"responder": "::1"}); size];
        document([json!({"ttl": 1, "probes": [{"replies": replies}]})]).to_string()
    }),
    ("many-labels.json", |size| {
        let stack = json!({"responder": "::1", "extension": {"objects": [{"labels": vec![json!({}); size]}]}});
        document([json!({"ttl": 1, "probes": [{"replies": [stack]}]})]).to_string()
    }),
    ("arrays.json", |size| format!("[{}]", vec!["[]"; size].join(","))),
    ("nested.json", |size| format!("{}{}", "[".repeat(size), "]".repeat(size))),
    ("nested-value.json", |size| {
        format!("{{\"a\":{}1{}}}", "[".repeat(size.min(100)), "]".repeat(size.min(100)))
    }),
    ("lines.json", |size| "{\"format\":\"rtrace-events\"}\n".repeat(size)),
    ("map.json", |size| {
        let nodes: Vec<Value> = (0..size)
            .map(|id| json!({"id": id, "address": null, "ttls": [1], "per_packet": false}))
            .collect();
        let links: Vec<Value> = (1..size)
            .map(|to| json!({"from": 0, "to": to, "flows": 1, "uncertain": false}))
            .collect();
        json!({
            "format": "rtrace-paths", "target": {"address": "203.0.113.9"}, "nodes": nodes, "links": links,
            "reached": false,
        })
        .to_string()
    }),
];

/// Configurations that no command line takes, and some that it takes at the limit: what is changed in an ordinary one.
pub fn configurations() -> Vec<(String, Vec<u8>)> {
    let ordinary = |path: &str| {
        let carried = if path.starts_with("/trace") {
            RecordingMetadata::of(config(), Measurement::Trace)
        } else {
            RecordingMetadata { first_round: 1, ..rounds(1.0) }
        };
        serde_json::to_value(carried).unwrap_or_default()
    };
    let mut made = Vec::new();
    let big = [
        json!(-1),
        json!(0),
        json!(255),
        json!(256),
        json!(65_535),
        json!(65_536),
        json!(u64::MAX),
        json!(1e308),
        json!(1e-308),
        json!(null),
        json!(""),
        json!("x".repeat(60_000)),
        json!([[[[[[]]]]]]),
        json!({"a": 1}),
    ];
    let paths = [
        "/first_round",
        "/rounds/interval",
        "/rounds/rounds",
        "/trace/first_ttl",
        "/trace/max_ttl",
        "/trace/queries",
        "/trace/first_port",
        "/trace/ident",
        "/trace/packet_len",
        "/trace/first_id",
        "/trace/first_serial",
        "/trace/in_flight",
        "/trace/flow_label",
        "/trace/send_wait",
        "/trace/wait/max",
        "/trace/wait/here",
        "/trace/target_name",
        "/trace/mtu_limit",
        "/trace/probe",
        "/trace/target",
        "/trace",
    ];
    for path in paths {
        for (at, value) in big.iter().enumerate() {
            let mut changed = ordinary(path);
            let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
            let Some(parent) = changed.pointer_mut(parent).and_then(Value::as_object_mut) else {
                continue;
            };
            parent.insert(key.to_owned(), value.clone());
            let comment = format!("rtrace configuration: {changed}");
            let file = PcapNg::new(&option(1, comment.as_bytes())).trace(BEGIN);
            made.push((format!("{}-{at}", path.trim_start_matches('/').replace('/', "-")), file));
        }
    }
    let nested = format!("rtrace configuration: {}", "[".repeat(60_000));
    made.push(("nested".to_owned(), PcapNg::new(&option(1, nested.as_bytes())).trace(BEGIN)));
    made
}

/// Blocks and records whose lengths are absurd.
pub fn lengths() -> Vec<Vec<u8>> {
    let whole = PcapNg::new(&[]).trace(BEGIN);
    let mut made = Vec::new();
    for len in [0_u32, 1, 11, 13, 28, 1 << 24, (1 << 24) + 1, 1 << 31, u32::MAX - 3, u32::MAX] {
        for kind in [0x0a0d_0d0a_u32, 1, 2, 3, 4, 5, 6, 0x8000_0001] {
            let mut file = whole.clone();
            file.extend(kind.to_le_bytes());
            file.extend(len.to_le_bytes());
            file.extend([0x4d, 0x3c, 0x2b, 0x1a]);
            made.push(file);
        }
        let mut file = Pcap::new(len);
        file.frame(BEGIN, &PROBE.bytes());
        file.0.extend([0; 8]);
        file.0.extend(len.to_le_bytes());
        file.0.extend(len.to_le_bytes());
        made.push(file.0);
    }
    made
}
