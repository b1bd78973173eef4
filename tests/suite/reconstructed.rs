//! Runs without privilege, whose replies are reconstructed from what the kernel reports to sockets: what they show beside runs
//! over the same simulated network that capture packets, what they cannot know, and what is refused.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rtrace::capture::{
    CaptureError, CaptureReader, Format, Interface, Item, RECONSTRUCTED, Recording,
};
use rtrace::driver::{self, Observer};
use rtrace::link::sim::{SimLink, Topology};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::probe::{Flow, FlowMode, ProbeType};
use rtrace::recording::RECONSTRUCTED_REPLIES;
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::{
    ConfigError, Disposition, Engine, Measurement, Path as TracePath, ProbeRef, TraceConfig,
    Tracer, paths, rounds,
};
use rtrace::wire::{Evidence, Frame, LinkType, ip};
use serde_json::Value;

use crate::support::{Run, line_of, path_in, replay, root, run, scratch};

/// A network twice: as packets show it, and as sockets do.
struct Twice {
    _dir: tempfile::TempDir,
    packets: String,
    sockets: String,
    recording: PathBuf,
}

impl Twice {
    fn of(topology: &str) -> Self {
        let dir = scratch();
        let [packets, sockets] =
            [("packets", ""), ("sockets", "sockets = true\n")].map(|(name, key)| {
                let file = path_in(&dir, &format!("{name}.toml"));
                fs::write(&file, format!("{key}{topology}")).unwrap();
                format!("--simulate={}", file.display())
            });
        let recording = path_in(&dir, "out.pcapng");
        Self { _dir: dir, packets, sockets, recording }
    }

    fn packets(&self, args: &[&str]) -> Run {
        run(&[args, &[&self.packets, "-n", TARGET]].concat())
    }

    fn sockets(&self, args: &[&str]) -> Run {
        run(&[args, &[&self.sockets, "-n", TARGET]].concat())
    }

    /// What sockets show, recorded.
    fn recorded(&self, args: &[&str]) -> Run {
        let file = self.recording.to_str().unwrap();
        self.sockets(&[args, &["--pcap", file]].concat())
    }
}

const TARGET: &str = "203.0.113.9";

/// Hops with labels, a silent one, one that quotes little, one behind a narrow link, and links that choose.
fn varied() -> String {
    let hops = [
        "",
        "mpls = [{ label = 16, ttl = 1 }, { label = 17, ttl = 1 }]",
        "silent = true",
        "mtu = 1400\nquote = 8",
        "reply_loss = 0.3",
        "interface = { role = 'incoming', ifindex = 7, name = 'eth0', mtu = 1500 }",
    ];
    line_of(&hops, "2ms", "")
}

fn builtin() -> String {
    fs::read_to_string(root().join("src/link/sim/builtin.toml")).unwrap()
}

fn topology(name: &str) -> String {
    fs::read_to_string(root().join(format!("benches/topologies/{name}.toml"))).unwrap()
}

/// Everything that the text shows: hops, responders, round trips, labels, annotations and path MTU.
#[test]
fn sockets_show_the_same_as_packets() {
    let networks = [
        builtin(),
        varied(),
        line_of(&["", "silent = true", ""], "200us", ""),
        line_of(&["", "", "silent = true", "silent = true"], "200us", ""),
        line_of(&["", ""], "200us", "silent = true"),
        topology("ten-hops-limited"),
        topology("thirty-hops-30ms"),
    ];
    let kinds: [&[&str]; 6] = [&[], &["-I"], &["-q1"], &["-f3", "-m5"], &["-N4"], &["--back"]];
    for network in networks {
        let twice = Twice::of(&network);
        for kind in kinds {
            let args = [kind, &["-e"]].concat();
            let (packets, sockets) = (twice.packets(&args), twice.sockets(&args));
            assert_eq!(sockets.stdout, packets.stdout, "{kind:?}\n{network}");
            assert_eq!((sockets.stderr, sockets.status), (packets.stderr, packets.status));
        }
    }
    let twice = Twice::of(&builtin());
    for kind in [&["-6"][..], &["-6", "-I"]] {
        let run_of =
            |simulate: &str| run(&[kind, &[simulate, "-n", "-e", "target.example"]].concat());
        let (packets, sockets) = (run_of(&twice.packets), run_of(&twice.sockets));
        assert_eq!(sockets.stdout, packets.stdout, "{kind:?}");
    }
}

#[test]
fn the_path_mtu_is_the_same() {
    let twice = Twice::of(&varied());
    for kind in [&["--mtu"][..], &["--mtu", "-I"]] {
        let (packets, sockets) = (twice.packets(kind), twice.sockets(kind));
        assert_eq!(sockets.stdout, packets.stdout, "{kind:?}");
        assert!(sockets.stdout.contains("1400"), "{}", sockets.stdout);
    }
}

/// Probes of a constant flow go one at a time, so round trips are those of other moments.
#[test]
fn constant_flows_show_the_same_hops_with_one_probe_in_flight() {
    for network in [builtin(), varied(), topology("ten-hops-silent")] {
        let twice = Twice::of(&network);
        for kind in [&["--flow", "paris"][..], &["-U"], &["--flow", "paris", "--mtu"]] {
            let args = [kind, &["--json"]].concat();
            let [packets, sockets] =
                [twice.packets(&args), twice.sockets(&args)].map(|it| document(&it.stdout));
            assert_eq!(responders(&sockets), responders(&packets), "{kind:?}\n{network}");
            assert_eq!(sockets["asked"]["in_flight"], 1);
            let sent = |document: &Value| document["totals"]["sent"].as_u64().unwrap();
            assert!(
                sent(&sockets) <= sent(&packets) + 6,
                "{kind:?} {} {}",
                sent(&sockets),
                sent(&packets)
            );
        }
    }
    let topology = Topology::parse(&varied(), "test").unwrap().through_sockets();
    let config = config_of(&topology, ProbeType::Udp).scouting();
    let mut tracer = Tracer::new(TraceConfig { flow_mode: FlowMode::Paris, ..config }).unwrap();
    let mut most = InFlight::default();
    driver::run(&mut tracer, &mut SimLink::new(topology), &mut most).unwrap();
    assert_eq!((most.most, tracer.path().end), (1, Some(7)));
}

/// Counts the probes that wait for an answer.
#[derive(Default)]
struct InFlight {
    most: usize,
}

impl Observer for InFlight {
    fn frame(&mut self, _: TraceId, _: &Frame<'_>, _: Disposition, path: &TracePath) {
        let waiting = path.probes().filter(|(_, probe)| !probe.is_settled()).count();
        self.most = self.most.max(waiting);
    }
}

fn document(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// Who answers at each hop.
fn responders(document: &Value) -> Vec<(u64, Vec<String>)> {
    let hop = |hop: &Value| {
        let probes = hop["probes"].as_array().unwrap().iter();
        let replies = probes.flat_map(|probe| probe["replies"].as_array().unwrap());
        let mut all: Vec<String> = replies.map(|reply| reply["responder"].to_string()).collect();
        all.sort_unstable();
        all.dedup();
        (hop["ttl"].as_u64().unwrap(), all)
    };
    let end = document["stop"]["ttl"].as_u64().unwrap_or(u64::MAX);
    let hops = document["hops"].as_array().unwrap().iter().map(hop);
    hops.filter(|(ttl, _)| *ttl <= end).collect()
}

#[test]
fn rounds_show_the_same() {
    let twice = Twice::of(&varied());
    for kind in [&[][..], &["-I"]] {
        let args = [&["report", "--rounds", "6", "--interval", "0.5"], kind].concat();
        let (packets, sockets) = (twice.packets(&args), twice.sockets(&args));
        assert!(sockets.stdout.lines().count() > 7, "{sockets:?}");
        assert_eq!(sockets.stdout, packets.stdout, "{kind:?}");
    }
}

#[test]
fn all_paths_are_the_same() {
    let network = "source = '192.0.2.2'\n[[hop]]\naddress = '198.51.100.1'\nbalance = 'flow'\n\
        [[hop]]\nrouters = [{ address = '198.51.100.2' }, { address = '198.51.100.3' }, { address = '198.51.100.4' }]\n\
        [[hop]]\naddress = '198.51.100.5'\n[target]\n";
    let twice = Twice::of(network);
    for kind in [&[][..], &["-I"]] {
        let args = [&["paths", "--json"], kind].concat();
        let [packets, sockets] =
            [twice.packets(&args), twice.sockets(&args)].map(|it| document(&it.stdout));
        let nodes = |document: &Value| -> Vec<String> {
            document["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["address"].to_string())
                .collect()
        };
        assert_eq!(nodes(&sockets), nodes(&packets), "{kind:?}");
        assert_eq!(sockets["diamonds"], packets["diamonds"], "{kind:?}");
        assert_eq!(sockets["completion"], packets["completion"], "{kind:?}");
        assert_eq!(sockets["evidence"], "reconstructed");
    }
}

/// At most one probe of each flow is in flight where only its flow identifies it.
#[test]
fn flows_of_all_paths_have_one_probe_in_flight_each() {
    let topology = Topology::parse(&varied(), "test").unwrap().through_sockets();
    let config = config_of(&topology, ProbeType::Udp);
    let plan = paths::Plan::default();
    let mut engine = Measurement::Paths(plan).active(config, 1_500).unwrap();
    let mut ports = Ports::default();
    driver::run(engine.as_mut(), &mut SimLink::new(topology), &mut ports).unwrap();
    assert_eq!(ports.most, 1);
    assert!(engine.reached());
}

/// Counts the probes to one port that wait for an answer.
#[derive(Default)]
struct Ports {
    most: usize,
}

impl Observer for Ports {
    fn frame(&mut self, _: TraceId, _: &Frame<'_>, _: Disposition, path: &TracePath) {
        let mut waiting: Vec<u16> = path
            .probes()
            .filter(|(_, probe)| !probe.is_settled())
            .map(|(_, probe)| probe.key.destination_port())
            .collect();
        waiting.sort_unstable();
        let most = waiting.chunk_by(|one, other| one == other).map(<[u16]>::len).max();
        self.most = self.most.max(most.unwrap_or(0));
    }
}

fn config_of(topology: &Topology, probe: ProbeType) -> TraceConfig {
    let target: IpAddr = TARGET.parse().unwrap();
    let source = topology.source_for(target);
    let config = TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 });
    TraceConfig { evidence: topology.evidence(), ..config }
}

#[test]
fn a_replay_says_the_same_byte_for_byte() {
    let twice = Twice::of(&varied());
    let kinds: [&[&str]; 7] =
        [&[], &["-I"], &["-U"], &["--flow", "paris"], &["--mtu"], &["inspect"], &["--back"]];
    for kind in kinds {
        for form in [&[][..], &["--json"], &["--format", "ndjson"], &["--format", "csv"]] {
            if kind.contains(&"inspect") && form.len() == 2 {
                continue;
            }
            let live = twice.recorded(&[kind, form].concat());
            let again = match kind {
                ["inspect"] => replay(&twice.recording, &[&["-n", "--inspect"], form].concat()),
                _ => replay(&twice.recording, &[&["-n"], form].concat()),
            };
            assert_eq!(
                (again.stdout, again.status),
                (live.stdout, live.status),
                "{kind:?} {form:?}"
            );
        }
    }
    for measure in [&["report", "--rounds", "4", "--interval", "0.5"][..], &["paths"]] {
        let live = twice.recorded(&[measure, &["--json"]].concat());
        let again = replay(&twice.recording, &["-n", "--json"]);
        assert_eq!(
            (again.stdout == live.stdout, live.stdout.len() > 1_000),
            (true, true),
            "{measure:?}"
        );
    }
}

/// Unknown values are null, and no zero octet is taken for one.
#[test]
fn what_is_not_known_is_null() {
    let twice = Twice::of(&varied());
    for kind in [&[][..], &["-I"]] {
        let it = document(&twice.sockets(&[kind, &["--json"]].concat()).stdout);
        assert_eq!(it["evidence"], "reconstructed");
        for hop in it["hops"].as_array().unwrap() {
            for probe in hop["probes"].as_array().unwrap() {
                assert!(probe["ip_id"].is_null() && probe.get("ip_id").is_some(), "{probe}");
                for reply in probe["replies"].as_array().unwrap() {
                    let unknown = [
                        "reply_ip_id",
                        "reply_len",
                        "quoted_ttl",
                        "quoted_tos",
                        "quoted_total_len",
                        "quoted_len",
                    ];
                    for field in unknown {
                        assert_eq!(reply.get(field), Some(&Value::Null), "{field} {reply}");
                    }
                    assert!(reply["reply_ttl"].as_u64() > Some(0), "{reply}");
                }
            }
        }
        let captured = document(&twice.packets(&[kind, &["--json"]].concat()).stdout);
        assert_eq!(captured["evidence"], "captured");
    }
    let csv = twice.sockets(&["--format", "csv"]).stdout;
    let column = |name: &str| csv.lines().next().unwrap().split(',').position(|it| it == name);
    for name in ["ip_id", "reply_ip_id", "reply_len", "quoted_ttl", "quoted_tos"] {
        let at = column(name).unwrap();
        assert!(csv.lines().skip(1).all(|line| line.split(',').nth(at) == Some("")), "{name}");
    }
    let atlas = document(twice.sockets(&["--format", "atlas"]).stdout.trim());
    let reply = &atlas["result"][0]["result"][0];
    assert!(reply.get("size").is_none() && reply.get("ittl").is_none(), "{reply}");
    let scamper = twice.sockets(&["--format", "scamper"]).stdout;
    for field in ["reply_size", "reply_ipid", "icmp_q_ttl", "icmp_q_ipl", "icmp_q_tos"] {
        assert!(!scamper.contains(field), "{field}");
    }
}

#[test]
fn inspect_says_what_it_cannot_see_and_reads_no_zero() {
    for hop in ["", "rewrite = { id = 77 }", "quote = 8"] {
        let twice = Twice::of(&line_of(&["", hop, ""], "1ms", ""));
        for kind in [&["inspect"][..], &["inspect", "-I"], &["inspect", "--flow", "paris"]] {
            let it = twice.sockets(kind).stdout;
            let said = it.matches("reconstructed from kernel reports").count();
            assert_eq!(said, 1, "{kind:?}\n{it}");
            assert!(
                it.contains("cannot be seen") && it.contains("No quote shows a change"),
                "{it}"
            );
            let json = document(&twice.sockets(&[kind, &["--json"]].concat()).stdout);
            assert_eq!(json["oddities"].as_array().map(Vec::len), Some(0), "{json}");
            for quote in json["quotes"].as_array().unwrap() {
                assert!(quote["quoted_ttl"].is_null(), "{quote}");
                assert!(quote.get("header_checksum_right").is_none(), "{quote}");
                let compared = quote["compared"].to_string();
                assert!(!compared.contains("identification") && !compared.contains("DSCP"));
            }
        }
    }
    let twice = Twice::of(&line_of(&["", ""], "1ms", ""));
    twice.recorded(&[]);
    let shown = run(&["show", twice.recording.to_str().unwrap(), "1"]);
    assert!(
        !shown.stdout.contains("changed") && !shown.stdout.contains("IP-ID"),
        "{}",
        shown.stdout
    );
}

#[test]
fn the_recording_says_what_it_is() {
    let twice = Twice::of(&varied());
    twice.recorded(&[]);
    let bytes = fs::read(&twice.recording).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(has(RECONSTRUCTED) && has(RECONSTRUCTED_REPLIES));
    let (mut probes, mut replies) = (0, 0);
    for_each_frame(&twice.recording, |frame| {
        let datagram = ip::decode(frame.bytes).unwrap().0;
        let is_probe = datagram.destination == TARGET.parse::<IpAddr>().unwrap();
        assert_eq!(frame.evidence.is_captured(), is_probe);
        if is_probe { probes += 1 } else { replies += 1 }
    });
    assert!(probes > 15 && replies > 10);
}

fn for_each_frame(recording: &Path, mut show: impl FnMut(Frame<'_>)) {
    let mut reader = CaptureReader::new(File::open(recording).unwrap(), "test").unwrap();
    while let Some(item) = reader.next().unwrap() {
        if let Item::Packet(frame) = item {
            show(frame);
        }
    }
}

#[test]
fn a_classic_pcap_is_refused() {
    let twice = Twice::of(&varied());
    let dir = scratch();
    let file = path_in(&dir, "out.pcap");
    let refused = twice.sockets(&["--pcap", file.to_str().unwrap()]);
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("classic pcap") && refused.stderr.contains(".pcapng"));
    let interface = Interface { name: "test".into(), address: None, link: LinkType::Raw };
    let mut out = Vec::new();
    let mut recording = Recording::new(&mut out, "test", Format::Pcap, &interface, "").unwrap();
    let whole = Frame::whole(Timestamp::default(), LinkType::Raw, &[0x45; 28]);
    let frame = Frame { evidence: Evidence::Reconstructed, ..whole };
    let refused = recording.frame(&frame, None);
    assert!(matches!(refused, Err(CaptureError::Reconstructed { .. })), "{refused:?}");
    assert!(recording.frame(&whole, None).is_ok());
}

/// Without a configuration the frames show the trace.
#[test]
fn a_recording_without_a_configuration_is_read() {
    let twice = Twice::of(&varied());
    for kind in [&[][..], &["-I"], &["-N3"]] {
        let live = document(&twice.recorded(&[kind, &["--json"]].concat()).stdout);
        let dir = scratch();
        let bare = path_in(&dir, "bare.pcapng");
        let interface = Interface { name: "test".into(), address: None, link: LinkType::Raw };
        let file = File::create(&bare).unwrap();
        let mut copy = Recording::new(file, "test", Format::PcapNg, &interface, "").unwrap();
        for_each_frame(&twice.recording, |frame| copy.frame(&frame, None).unwrap());
        let again = document(&replay(&bare, &["-n", "--json"]).stdout);
        assert_eq!(again["evidence"], "reconstructed");
        assert_eq!(responders(&again), responders(&live), "{kind:?}");
        assert_eq!(again["totals"]["answered"], live["totals"]["answered"], "{kind:?}");
    }
}

#[test]
fn what_sockets_cannot_do_is_refused() {
    let topology = Topology::parse(&varied(), "test").unwrap().through_sockets();
    let refused = |probe, change: fn(&mut TraceConfig)| {
        let mut config = config_of(&topology, probe);
        change(&mut config);
        config.packet_len = config.packet_len.max(config.least_len());
        Measurement::Trace.check(&config).err()
    };
    let needs = [
        (ProbeType::TcpSyn, "TCP probes"),
        (ProbeType::TcpAck, "TCP probes"),
        (ProbeType::UdpLite, "UDP-Lite probes"),
        (ProbeType::Protocol(253), "probes of a protocol by number"),
    ];
    for (probe, what) in needs {
        assert_eq!(refused(probe, |_| ()), Some(ConfigError::NeedsCapture { what }));
    }
    let dublin = |config: &mut TraceConfig| config.flow_mode = FlowMode::Dublin;
    let what = "probes of flow mode dublin over IPv4";
    assert_eq!(refused(ProbeType::Udp, dublin), Some(ConfigError::NeedsCapture { what }));
    let ports = Some(ConfigError::TooFewPorts { probes: 90, first: 65_500, ports: 36 });
    assert_eq!(refused(ProbeType::Udp, |config| config.first_port = 65_500), ports);
    for probe in [ProbeType::Udp, ProbeType::UdpFixed, ProbeType::IcmpEcho] {
        assert_eq!(refused(probe, |_| ()), None);
    }
    let twice = Twice::of(&varied());
    for kind in [&["-T"][..], &["-P", "253"], &["--flow", "dublin"], &["paths", "-T"]] {
        let refused = twice.sockets(kind);
        assert_eq!(refused.status, 2, "{kind:?}");
        assert!(refused.stderr.contains("need captured packets"), "{}", refused.stderr);
    }
}

/// A simulated link whose frames are changed.
struct Changed {
    link: SimLink,
    change: fn(Evidence, &mut [u8]) -> Evidence,
    bytes: Vec<u8>,
}

impl Changed {
    fn new(topology: Topology, change: fn(Evidence, &mut [u8]) -> Evidence) -> Self {
        Self { link: SimLink::new(topology), change, bytes: Vec::new() }
    }
}

impl Link for Changed {
    fn now(&self) -> Timestamp {
        self.link.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.link.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        Ok(match self.link.receive(until)? {
            Received::Frame(frame) => {
                self.bytes = frame.bytes.to_vec();
                let evidence = (self.change)(frame.evidence, &mut self.bytes);
                Received::Frame(Frame { bytes: &self.bytes, evidence, ..frame })
            }
            other => other,
        })
    }
}

/// Errors do not show which probe to a port they are about.
fn ambiguous(evidence: Evidence, bytes: &mut [u8]) -> Evidence {
    if !evidence.is_captured() {
        // Length and checksum of the quoted UDP header.
        bytes[52..56].fill(0);
    }
    evidence
}

#[test]
fn an_ambiguous_quote_is_not_attributed() {
    let topology = Topology::parse(&line_of(&["", ""], "1ms", ""), "test").unwrap();
    let topology = topology.through_sockets();
    let config = TraceConfig { max_ttl: 3, queries: 1, ..config_of(&topology, ProbeType::Udp) };
    let mut tracer = Tracer::new(config).unwrap();
    let mut seen = Seen::default();
    driver::run(&mut tracer, &mut Changed::new(topology, ambiguous), &mut seen).unwrap();
    let totals = tracer.path().totals;
    assert_eq!((totals.sent, totals.answered, totals.orphans, totals.damaged), (3, 0, 3, 0));
    assert_eq!(seen.0, [Disposition::Unmatched; 3]);
}

/// What replies were.
#[derive(Default)]
struct Seen(Vec<Disposition>);

impl Observer for Seen {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &TracePath) {
        if !frame.evidence.is_captured() {
            self.0.push(disposition);
        }
    }
}

/// Nothing is told of probes: they are taken as they were handed over.
fn assumed(evidence: Evidence, bytes: &mut [u8]) -> Evidence {
    if evidence.is_captured() {
        bytes[4..6].fill(0);
    }
    Evidence::Reconstructed
}

#[test]
fn probes_that_were_not_seen_leaving_are_the_same() {
    for (probe, flow_mode) in [
        (ProbeType::Udp, FlowMode::Classic),
        (ProbeType::Udp, FlowMode::Paris),
        (ProbeType::IcmpEcho, FlowMode::Classic),
    ] {
        let topology = Topology::parse(&varied(), "test").unwrap().through_sockets();
        let config = TraceConfig { flow_mode, ..config_of(&topology, probe).scouting() };
        let traced = |link: &mut dyn Link| {
            let mut tracer = Tracer::new(config.clone()).unwrap();
            driver::run(&mut tracer, link, &mut Nobody).unwrap();
            tracer.path().clone()
        };
        let mut told = SimLink::new(topology.clone());
        let mut untold = Changed::new(topology, assumed);
        assert_eq!(traced(&mut untold), traced(&mut told));
    }
}

/// Where replies come back over more or fewer hops than probes go, their TTL says little.
#[test]
fn return_paths_of_other_lengths_cost_few_probes() {
    for hops in [3, 9, 16, 24] {
        for back in [1_u8, 4, 12, 28] {
            for one_way in ["500us", "5ms"] {
                let target = format!("return_hops = {back}");
                let text = line_of(&vec![""; hops - 1], one_way, &target);
                let sent = |topology: Topology| {
                    let config = config_of(&topology, ProbeType::Udp).scouting();
                    let mut tracer = Tracer::new(config).unwrap();
                    driver::run(&mut tracer, &mut SimLink::new(topology), &mut Nobody).unwrap();
                    let path = tracer.path();
                    assert_eq!(path.end.map(usize::from), Some(hops), "{hops} {back}");
                    assert_eq!(path.reported().len(), hops);
                    path.totals.sent
                };
                let topology = Topology::parse(&text, "test").unwrap();
                let (packets, sockets) = (sent(topology.clone()), sent(topology.through_sockets()));
                let over = u64::from(back).saturating_sub(hops as u64);
                // A near target is asked at every hop once before it is known to be nearer.
                let each = if hops == 3 && one_way == "500us" { 1 } else { 3 };
                let most = packets + each * over + 12;
                assert!(sockets <= most, "{hops} {back} {one_way}: {sockets}, {packets}");
            }
        }
    }
}

/// Looks on.
struct Nobody;

impl Observer for Nobody {}

/// Late answers of rounds before, over routers that quote eight octets and over those that quote all.
#[test]
fn rounds_and_late_replies_are_told_apart() {
    for quote in ["", "quote = 8"] {
        let text = line_of(&["", quote, ""], "400ms", "");
        let topology = Topology::parse(&text, "test").unwrap().through_sockets();
        let config = config_of(&topology, ProbeType::Udp);
        let plan = rounds::Plan { interval: 0.5, rounds: Some(4), until: None };
        let mut engine = Measurement::Rounds(plan).active(config, 1_500).unwrap();
        let mut wrong = RightTtl::default();
        driver::run(engine.as_mut(), &mut SimLink::new(topology), &mut wrong).unwrap();
        assert_eq!(wrong.wrong, 0, "{quote}");
        assert!(wrong.right > 20, "{quote}: {}", wrong.right);
    }
}

/// Whether replies were given to probes of the hop that they come from.
#[derive(Default)]
struct RightTtl {
    right: usize,
    wrong: usize,
}

impl Observer for RightTtl {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &TracePath) {
        let Disposition::Reply(at @ ProbeRef::Hop { ttl, .. }, Some(_)) = disposition else {
            return;
        };
        let from = ip::decode(frame.bytes).unwrap().0.source;
        let probe = path.probe(at).unwrap();
        let is_router = from == IpAddr::from([198, 51, 100, ttl]);
        let took = probe.sent.map(|sent| frame.at.since(sent));
        let is_prompt = took.is_some_and(|took| took <= Span::from_millis(3_300));
        if is_prompt && (is_router || from.to_string() == TARGET && ttl >= 4) {
            self.right += 1;
        } else {
            self.wrong += 1;
        }
    }
}
