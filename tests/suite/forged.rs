//! Answers that the target never gave: sent from its address by somebody who sees nothing of the trace. They hide nothing of
//! the path, and a path that really became shorter is found all the same.

use std::fs;
use std::net::IpAddr;

use proptest::prelude::*;
use rtrace::driver::{self, Observer};
use rtrace::link::sim::{Attack, ForgedAnswer, Node, SimLink, Topology};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::probe::{Flow, ProbeType};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::config::Confirmation;
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{Disposition, Engine, Event, Packet, Path, ProbeSelector, TraceConfig, Tracer};
use rtrace::wire::{Frame, LinkType};

use crate::support::{line_of, path_in, replay, run, scratch};

const TARGETS: [&str; 2] = ["203.0.113.9", "2001:db8:300::9"];
const IDENT: u16 = 40_000;
const CONFIRMING: Confirmation = Confirmation { ident: 40_321, seed: 0x5eed_0f0b };

/// Who answered at each hop, and where the path ends.
type Hops = (Vec<Vec<IpAddr>>, Option<u8>);

fn hops(path: &Path) -> Hops {
    let answers = |hop: &rtrace::trace::Hop| {
        let mut all: Vec<_> =
            hop.probes.iter().filter_map(|it| it.counted()).map(|it| it.responder).collect();
        all.dedup();
        all
    };
    (path.reported().iter().map(answers).collect(), path.end)
}

/// What rounds showed.
#[derive(Default)]
struct Seen {
    rounds: Vec<Hops>,
    contradicted: u64,
    confirmations: usize,
    sent: u64,
    frames: Vec<(Timestamp, Vec<u8>)>,
    events: Vec<Event>,
    /// When a trace was over.
    ended: Option<Timestamp>,
}

impl Observer for Seen {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if disposition.concerns_the_trace() {
            self.frames.push((frame.at, frame.bytes.to_vec()));
        }
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        self.events.push(event);
        if event == Event::Ended {
            self.rounds.push(hops(path));
            self.contradicted += path.totals.contradicted;
            self.confirmations += path.confirmations.len();
            self.sent += path.totals.sent;
        }
    }
}

fn plan(rounds: u64) -> Plan {
    Plan { interval: 1.0, rounds: Some(rounds), until: None }
}

/// Rounds over a link, and that their frames show the same again.
fn watched(mut link: impl Link, config: &TraceConfig, rounds: u64) -> Seen {
    let mut seen = Seen::default();
    let mut engine = Rounds::new(config.clone(), plan(rounds)).unwrap();
    driver::run(&mut engine, &mut link, &mut seen).unwrap();
    let mut again = Seen::default();
    let mut passive = Rounds::passive(config.clone(), plan(rounds)).unwrap();
    watch_again(&mut passive, &seen.frames, &mut again);
    assert_eq!(again.events, seen.events, "a replay");
    assert_eq!(again.rounds, seen.rounds, "a replay");
    assert_eq!(again.contradicted, seen.contradicted, "a replay");
    seen
}

fn watch_again(engine: &mut dyn Engine, frames: &[(Timestamp, Vec<u8>)], seen: &mut Seen) {
    for (number, (at, bytes)) in (1..).zip(frames) {
        let frame = Frame { number, ..Frame::whole(*at, LinkType::Raw, bytes) };
        engine.handle_timeout(*at);
        let (disposition, path) = engine.handle_packet(&Packet::of(&frame));
        seen.frame(TraceId::FIRST, &frame, disposition, path);
        while let Some((event, path)) = engine.poll_event() {
            seen.event(TraceId::FIRST, event, path);
        }
    }
    engine.finish();
    while let Some((event, path)) = engine.poll_event() {
        seen.event(TraceId::FIRST, event, path);
    }
}

fn config(topology: &Topology, probe: ProbeType, target: &str) -> TraceConfig {
    let target: IpAddr = target.parse().unwrap();
    let flow = Flow { source: topology.source_for(target), target, probe, ident: IDENT };
    let config = TraceConfig::of_flow(&flow).scouting();
    TraceConfig { queries: 1, first_id: 7, confirmation: Some(CONFIRMING), ..config }
}

/// So many routers, some of them silent, and the target behind them.
fn line(routers: u8, silent: &[u8]) -> Topology {
    let router = |number: u8| Node {
        silent: silent.contains(&number),
        ..Node::at([198, 51, 100, number].into())
            .with_address6([0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()].into())
    };
    (1..=routers).fold(Topology::new(3), |topology, number| topology.hop(router(number)))
}

/// An attack on the probe with this TTL in every round, by somebody who has found out the port: what gets through to
/// the prober of a sweep over all ports at a thousand times the rate.
fn attack(config: &TraceConfig, answer: ForgedAnswer, ttl: u8, rounds: u32) -> Attack {
    let (place, serials) = (u32::from(ttl) - 1, rounds * 30);
    let (first, numbers) = match answer {
        ForgedAnswer::Udp => (u32::from(config.first_port) + place, 1),
        ForgedAnswer::EchoReply => (place + 1, serials),
        ForgedAnswer::SynAck | ForgedAnswer::Reset => {
            ((u32::from(config.first_id) << 16) + place, serials)
        }
    };
    Attack {
        answer,
        ports: (IDENT, IDENT),
        numbers: (first, first + numbers - 1),
        from_port: 80,
        // Each number three times a second.
        rate: 3.0 * f64::from(numbers),
        after: Span::from_millis(1_100),
    }
}

const ATTACKS: [(ProbeType, ForgedAnswer); 4] = [
    (ProbeType::Udp, ForgedAnswer::Udp),
    (ProbeType::IcmpEcho, ForgedAnswer::EchoReply),
    (ProbeType::TcpSyn, ForgedAnswer::SynAck),
    (ProbeType::TcpSyn, ForgedAnswer::Reset),
];

/// What cut rounds, and all after them: hop 5 is silent, those beyond it are not, or are too.
#[test]
fn an_answer_from_nearer_than_the_path_is_long_cuts_no_round() {
    for (probe, answer) in ATTACKS {
        for silent in [&[5][..], &[5, 6, 7, 8, 9]] {
            for target in TARGETS {
                let quiet = line(9, silent);
                let config = config(&quiet, probe, target);
                let rounds = if answer == ForgedAnswer::Udp { 60 } else { 12 };
                let expected = watched(SimLink::new(quiet.clone()), &config, rounds);
                assert_eq!(expected.rounds[0].1, Some(10));
                let attack = attack(&config, answer, 5, u32::try_from(rounds).unwrap());
                let seen = watched(SimLink::new(quiet.attacked(attack)), &config, rounds);
                let case = format!("{probe:?} {answer:?} {target} {silent:?}");
                assert_eq!(seen.rounds, expected.rounds, "{case}");
                assert!(seen.contradicted > rounds / 2, "{case} {}", seen.contradicted);
                let most = silent.len() as u64 * rounds;
                assert!(seen.confirmations as u64 <= most, "{case} {}", seen.confirmations);
            }
        }
    }
}

/// One trace over a link, and that its frames show the same again.
fn traced(topology: Topology, config: &TraceConfig) -> Seen {
    let mut seen = Seen::default();
    let mut tracer = Tracer::new(config.clone()).unwrap();
    let mut link = SimLink::new(topology);
    driver::run(&mut tracer, &mut link, &mut seen).unwrap();
    seen.ended = Some(link.now());
    let mut again = Seen::default();
    let mut passive = Tracer::passive(config.clone(), ProbeSelector::One).unwrap();
    watch_again(&mut passive, &seen.frames, &mut again);
    assert_eq!(again.events, seen.events, "a replay");
    assert_eq!(again.rounds, seen.rounds, "a replay");
    seen
}

/// Somebody who has found out the port answers each probe before any router does: to all of them at once, or to one alone,
/// with nothing that shows that he guesses.
#[test]
fn who_knows_the_port_ends_no_trace_before_routers_have_their_say() {
    for (number, (probe, answer)) in ATTACKS.into_iter().enumerate() {
        for silent in [&[][..], &[2, 3], &[5, 6, 7, 8, 9], &[1, 2, 3, 4, 5, 6, 7, 8, 9]] {
            let (target, queries) = (TARGETS[number % 2], [1, 3][silent.len() % 2]);
            let quiet = line(9, silent);
            let mut config = TraceConfig { queries, ..config(&quiet, probe, target) };
            config.wait.max = 0.5;
            let expected = traced(quiet.clone(), &config);
            assert_eq!(expected.rounds[0].1, Some(10));
            let first = match answer {
                ForgedAnswer::Udp => u32::from(config.first_port),
                ForgedAnswer::EchoReply => 1,
                ForgedAnswer::SynAck | ForgedAnswer::Reset => u32::from(config.first_id) << 16,
            };
            let all = (first, first + 29 * u32::from(queries));
            for (numbers, rate) in [(all, 20_000.0), ((first, first), 1_000.0)] {
                let after = Span::ZERO;
                let ports = (IDENT, IDENT);
                let attack = Attack { answer, ports, numbers, from_port: 80, rate, after };
                let seen = traced(quiet.clone().attacked(attack), &config);
                let case = format!("{probe:?} {answer:?} {silent:?} {numbers:?}");
                assert_eq!(seen.rounds, expected.rounds, "{case}");
            }
        }
    }
}

/// An end that nothing but answers speaks for is confirmed while routers that say nothing are waited for.
#[test]
fn an_end_behind_a_silent_router_is_confirmed_while_that_is_waited_for() {
    for (probe, _) in &ATTACKS[1..3] {
        for (silent, confirmations) in [(&[][..], 0), (&[9], 1), (&[8], 0)] {
            let topology = line(9, silent);
            let config = config(&topology, *probe, TARGETS[0]);
            let seen = traced(topology.clone(), &config);
            let without = TraceConfig { confirmation: None, ..config };
            let without = traced(topology, &without);
            assert_eq!(seen.rounds, without.rounds);
            assert_eq!(seen.confirmations, confirmations, "{probe:?} {silent:?}");
            assert_eq!(seen.ended.unwrap(), without.ended.unwrap(), "{probe:?} {silent:?}");
        }
    }
}

/// Without an attacker no probe is sent for all this.
#[test]
fn a_path_that_stays_as_it_is_takes_no_probe_more() {
    for target in TARGETS {
        for (probe, _) in ATTACKS {
            let topology = line(9, &[5]);
            let config = config(&topology, probe, target);
            let seen = watched(SimLink::new(topology.clone()), &config, 8);
            let unconfirmed = TraceConfig { confirmation: None, ..config };
            let without = watched(SimLink::new(topology), &unconfirmed, 8);
            assert_eq!((seen.confirmations, seen.contradicted), (0, 0));
            assert_eq!((seen.rounds, seen.frames), (without.rounds, without.frames));
        }
    }
}

/// A network that is another one from a moment on; what is in flight then is lost.
struct Changing {
    inner: SimLink,
    next: Option<(Timestamp, Topology)>,
}

impl Changing {
    fn change(&mut self) {
        let now = self.inner.now();
        if let Some((_, topology)) = self.next.take_if(|(at, _)| *at <= now) {
            self.inner = SimLink::new(topology).starting_at(now);
        }
    }
}

impl Link for Changing {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.change();
        self.inner.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        self.change();
        self.inner.receive(until)
    }
}

fn becoming(before: Topology, after: Topology, seconds: i64) -> Changing {
    let link = SimLink::new(before);
    let at = link.now().after(Span::from_millis(1_000 * seconds - 300));
    Changing { inner: link, next: Some((at, after)) }
}

#[test]
fn a_target_that_got_nearer_is_found() {
    for (target, (probe, answer)) in TARGETS.into_iter().cycle().zip(ATTACKS) {
        for silent in [&[][..], &[6, 7, 8]] {
            let config = config(&line(9, silent), probe, target);
            let attack = attack(&config, answer, 2, 14);
            let attack = Attack { rate: attack.rate / 3.0, ..attack };
            let networks =
                [(line(9, silent), line(4, &[])), (line(9, silent), line(4, &[]).attacked(attack))];
            for (before, after) in networks {
                let seen = watched(becoming(before.clone(), after.clone(), 4), &config, 14);
                let ends: Vec<_> = seen.rounds.iter().map(|(_, end)| end.unwrap_or(0)).collect();
                assert_eq!(ends[..4], [10; 4], "{probe:?} {target} {silent:?}");
                assert_eq!(ends[5..], [5; 9], "{probe:?} {target} {silent:?}");
                // Nothing confirms it where the port is fixed: it takes until no router has been seen for so long.
                let fixed = TraceConfig { confirmation: None, ..config.clone() };
                let seen = watched(becoming(before, after, 4), &fixed, 14);
                assert_eq!(seen.rounds.last().unwrap().1, Some(5), "{probe:?} {target} {silent:?}");
                assert_eq!(seen.confirmations, 0);
            }
        }
    }
}

#[test]
fn a_target_that_got_farther_is_found() {
    for (probe, _) in ATTACKS {
        let config = config(&line(4, &[]), probe, TARGETS[0]);
        let seen = watched(becoming(line(4, &[]), line(9, &[7]), 4), &config, 12);
        let ends: Vec<_> = seen.rounds.iter().map(|(_, end)| end.unwrap_or(0)).collect();
        assert_eq!((&ends[..4], &ends[6..]), (&[5; 4][..], &[10; 6][..]), "{probe:?}");
    }
}

/// Branches of different length by flow or by packet: the path ends where the target answers first, as far as a second
/// probe sees it there too.
#[test]
fn branches_of_different_length_are_no_contradiction_for_quotes() {
    let branches = |target: &str| {
        let ways = "next = [\"short\", \"long\"]\nbalance = \"packet\"";
        line_of(&["", ways, "name = \"long\"", "", "name = \"short\""], "1ms", target)
    };
    let topology = Topology::parse(&branches(""), "branches").unwrap();
    let config = TraceConfig { queries: 8, ..config(&topology, ProbeType::Udp, TARGETS[0]) };
    let seen = watched(SimLink::new(topology), &config, 6);
    assert!(seen.rounds.iter().all(|(_, end)| *end == Some(4)), "{:?}", seen.rounds);
    assert_eq!((seen.contradicted, seen.confirmations), (0, 0));
    let topology = Topology::parse(&branches("ports = \"open\""), "branches").unwrap();
    let seen = watched(SimLink::new(topology), &config, 6);
    let ends: Vec<_> = seen.rounds.iter().filter_map(|(_, end)| *end).collect();
    assert_eq!(ends.len(), 6);
    assert!(ends.iter().all(|end| (4..=6).contains(end)) && ends.contains(&4), "{ends:?}");
    assert!(seen.confirmations > 0);
}

/// What a trace says of it, in each form, and that its recording says the same.
#[test]
fn contradicted_answers_are_told() {
    let dir = scratch();
    let (file, recording) = (path_in(&dir, "path.toml"), path_in(&dir, "a.pcapng"));
    let lines = ["", "", "", "", "silent = true", "", "", "", ""];
    let network = line_of(&lines, "1ms", "");
    fs::write(&file, &network).unwrap();
    let simulate = format!("--simulate={}", file.display());
    // The port follows from the seed, and the attacker knows it.
    let calm = run(&[&simulate, "--json", "-m1", TARGETS[0]]).stdout;
    let calm: serde_json::Value = serde_json::from_str(&calm).unwrap();
    let port = calm["hops"][0]["probes"][0]["source_port"].as_u64().unwrap();
    let attack = format!(
        "[attack]\nanswer = \"udp\"\nports = [{port}, {port}]\nnumbers = [33446, 33448]\nrate = 200\nafter = \"40ms\"\n"
    );
    fs::write(&file, format!("{network}{attack}")).unwrap();
    let pcap = recording.to_str().unwrap();
    let common = [&simulate, "-n", "--pcap", pcap, TARGETS[0]];
    let classic = path_in(&dir, "a.pcap");
    let told = |options: &[&str]| {
        let live = run(&[&common, options].concat());
        assert_eq!((live.stderr.as_str(), live.status), ("", 0), "{options:?}");
        assert_eq!(replay(&recording, options).stdout, live.stdout, "{options:?}");
        // A classic pcap says nothing of a second port.
        let again = [&simulate, "-n", "--pcap", classic.to_str().unwrap(), TARGETS[0]];
        assert_eq!(run(&[&again, options].concat()).stdout, live.stdout, "{options:?}");
        assert_eq!(
            replay(&classic, &[&["-n"], options].concat()).stdout,
            live.stdout,
            "{options:?}"
        );
        live.stdout
    };
    let text = told(&[]);
    let said = "    contradicted: hop 5: ";
    assert!(text.contains(said) && text.contains("\n 5  * * *\n"), "{text}");
    assert!(text.contains("\n10  203.0.113.9"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&told(&["--json"])).unwrap();
    assert!(crate::golden::validator().is_valid(&json));
    let probe = &json["hops"][4]["probes"][0];
    assert_eq!((&probe["outcome"], &probe["replies"]), (&"lost".into(), &serde_json::json!([])));
    assert_eq!(probe["contradicted"][0]["responder"], TARGETS[0]);
    assert_eq!(json["confirmations"][0]["ttl"], 5);
    assert_eq!(json["confirmations"][0]["source_port"], port ^ 0x101);
    assert!(json["totals"]["contradicted"].as_u64().unwrap() >= 3);
    assert!(
        told(&["--format", "ndjson"])
            .contains("{\"event\":\"contradicted\",\"ttl\":5,\"query\":1,")
    );
    assert!(told(&["--inspect"]).contains(said));
    let inspected: serde_json::Value =
        serde_json::from_str(&told(&["--inspect", "--json"])).unwrap();
    assert_eq!(inspected["contradicted"][0]["hop"], 5);
    for form in ["csv", "atlas", "scamper"] {
        assert!(!told(&["--format", form]).contains("no answer of"), "{form}");
    }
    let again = replay(&recording, &["--json"]);
    assert!(again.stdout.contains("\"contradicted\""));

    let attack = attack.replace("[33446, 33448]", "[33438, 33438]");
    fs::write(&file, format!("{}{attack}", line_of(&lines, "1ms", ""))).unwrap();
    let watch = [&simulate, "-n", "--pcap", pcap, TARGETS[0]];
    let report = run(&[&["watch", "--report", "--rounds", "4"][..], &watch].concat());
    assert!(report.stdout.contains("contradicted: "), "{}", report.stdout);
    assert_eq!(replay(&recording, &[]).stdout, report.stdout);
    let stream = replay(&recording, &["--format", "ndjson"]).stdout;
    let line = "{\"event\":\"contradicted\",\"round\":1,\"ttl\":5,\"responder\":\"203.0.113.9\",\"answers\":";
    assert!(stream.contains(line), "{stream}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Over networks that lose nothing and change nothing by themselves, somebody who knows the very port in use
    /// changes no hop of a path whose length quotes tell.
    #[test]
    fn hops_are_those_without_an_attacker(
        seed: u64,
        routers in 2..12_u8,
        silent in proptest::collection::vec(1..12_u8, 0..4),
        number in 0..12_u32,
        rate in 10.0..600.0,
        queries in 1..4_u16,
        v6: bool,
        confirms: bool,
    ) {
        let topology = line(routers, &silent);
        let mut config = config(&topology, ProbeType::Udp, TARGETS[usize::from(v6)]);
        config.queries = queries;
        config.confirmation = config.confirmation.filter(|_| confirms);
        let first = u32::from(config.first_port);
        let attack = Attack {
            answer: ForgedAnswer::Udp,
            ports: (IDENT, IDENT),
            numbers: (first + number, first + number + u32::try_from(seed % 40).unwrap()),
            from_port: 0,
            rate,
            after: Span::from_micros(i64::try_from(seed % 90_000).unwrap()),
        };
        let quiet = watched(SimLink::new(topology.clone()), &config, 3);
        let seen = watched(SimLink::new(topology.clone().attacked(attack)), &config, 3);
        prop_assert_eq!(&seen.rounds, &quiet.rounds);
        // And one trace, with a recording that shows the same.
        let one = |topology: Topology| {
            let mut tracer = Tracer::new(config.clone()).unwrap();
            let mut seen = Seen::default();
            driver::run(&mut tracer, &mut SimLink::new(topology), &mut seen).unwrap();
            let mut again = Seen::default();
            let mut passive = Tracer::passive(config.clone(), ProbeSelector::One).unwrap();
            watch_again(&mut passive, &seen.frames, &mut again);
            (seen, again)
        };
        let (seen, again) = one(topology.attacked(attack));
        prop_assert_eq!(&again.events, &seen.events);
        prop_assert_eq!(&again.rounds, &seen.rounds);
    }
}
