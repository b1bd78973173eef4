//! Rounds: what a watch is made of, over simulated networks in virtual time, and again from the frames alone.

use std::net::IpAddr;

use proptest::prelude::*;
use rtrace::driver::{self, Observer};
use rtrace::link::sim::{START, SimLink, Topology};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::probe::{Flow, FlowMode, ProbeType};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::rounds::{Plan, Rounds, Until};
use rtrace::trace::table::Table;
use rtrace::trace::verdict::Loss;
use rtrace::trace::{Disposition, Engine, Event, Packet, Path, TraceConfig};
use rtrace::wire::{Frame, LinkType};

use crate::support::{cases, line_of};

const TARGET: [u8; 4] = [203, 0, 113, 9];

/// Keeps frames and events, and a table of them.
struct Watcher {
    table: Table,
    frames: Vec<(Timestamp, Vec<u8>)>,
    events: Vec<Event>,
    /// It is interrupted after so many frames, and then was at this moment.
    cut_after: usize,
    cut_at: Option<Timestamp>,
    /// How many rounds there were, if the last are missing.
    rounds: Option<u64>,
    /// Probes that were refused, and rounds missed when that was last told.
    refused: u32,
    missed: u64,
    /// What the exit status says.
    reached: bool,
}

impl Watcher {
    fn new() -> Self {
        Self {
            table: Table::new(),
            frames: Vec::new(),
            events: Vec::new(),
            cut_after: usize::MAX,
            cut_at: None,
            rounds: None,
            refused: 0,
            missed: 0,
            reached: false,
        }
    }
}

impl Observer for Watcher {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if disposition.concerns_the_trace() {
            self.frames.push((frame.at, frame.bytes.to_vec()));
        }
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        match event {
            Event::Ended => drop(self.table.add(path)),
            Event::LateReply(at, index) => drop(self.table.add_late(path, at, index)),
            _ => {}
        }
        self.events.push(event);
    }

    fn refused(&mut self, _: TraceId, _: &LinkError) {
        self.refused += 1;
    }

    fn missed(&mut self, _: TraceId, rounds: u64, _: u64) {
        self.missed = rounds;
    }

    fn interrupted(&self) -> bool {
        self.frames.len() >= self.cut_after
    }

    fn cut(&mut self, at: Timestamp) {
        self.cut_at = Some(at);
    }
}

/// Runs rounds through a simulated network; says how long they took.
fn watched(topology: Topology, config: &TraceConfig, plan: Plan) -> (Watcher, Span) {
    watched_over(SimLink::new(topology), config, plan)
}

fn watched_over(mut link: impl Link, config: &TraceConfig, plan: Plan) -> (Watcher, Span) {
    let mut rounds = Rounds::new(config.clone(), plan).unwrap();
    let mut watcher = Watcher::new();
    driver::run(&mut rounds, &mut link, &mut watcher).unwrap();
    watcher.rounds = rounds.rounds();
    watcher.reached = rounds.reached();
    (watcher, link.now().since(START))
}

/// The same from the frames.
fn replayed(
    frames: &[(Timestamp, Vec<u8>)],
    config: &TraceConfig,
    plan: Plan,
    cut: Option<Timestamp>,
    noted: Option<u64>,
) -> Watcher {
    let mut rounds = Rounds::passive(config.clone(), plan).unwrap();
    let mut watcher = Watcher::new();
    for (number, (at, bytes)) in (1..).zip(frames) {
        let frame = Frame { number, ..Frame::whole(*at, LinkType::Raw, bytes) };
        let (disposition, path) = rounds.handle_packet(&Packet::of(&frame));
        watcher.frame(TraceId::FIRST, &frame, disposition, path);
        while let Some((event, path)) = rounds.poll_event() {
            watcher.event(TraceId::FIRST, event, path);
        }
    }
    if let Some(count) = noted {
        rounds.note_rounds(count);
    }
    match cut {
        Some(at) => rounds.cut(at),
        None => rounds.finish(),
    }
    while let Some((event, path)) = rounds.poll_event() {
        watcher.event(TraceId::FIRST, event, path);
    }
    watcher
}

fn config(topology: &Topology, probe: ProbeType, target: IpAddr) -> TraceConfig {
    let source = topology.source_for(target);
    let config = TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 }).scouting();
    TraceConfig { queries: 1, ..config }
}

fn line(hops: &[&str], target: &str) -> Topology {
    Topology::parse(&line_of(hops, "500us", target), "test").unwrap()
}

const fn plan(rounds: u64) -> Plan {
    Plan { interval: 1.0, rounds: Some(rounds), until: None }
}

#[test]
fn a_round_rises_as_far_as_the_target_and_begins_each_second() {
    let topology = line(&["", "", "", ""], "");
    let config = config(&topology, ProbeType::Udp, TARGET.into());
    let (watcher, time) = watched(topology, &config, plan(10));
    let rows = watcher.table.rows();
    assert_eq!(rows.len(), 5);
    for row in rows {
        let rtt = Span::from_millis(i64::from(row.ttl));
        assert_eq!((row.sent, row.received, row.late), (10, 10, 0));
        assert_eq!((row.rtts.best(), row.rtts.worst()), (Some(rtt), Some(rtt)));
        assert_eq!(row.history.len(), 10);
    }
    // The scout is one more, once.
    let probes = watcher.events.iter().filter(|event| matches!(event, Event::Sent(_))).count();
    assert_eq!(probes, 10 * 5 + 1);
    assert!(Span::from_millis(9_005) <= time && time < Span::from_millis(9_050), "{time} ms");
    assert!(watcher.table.changes().is_empty() && watcher.table.reached());
}

#[test]
fn a_late_answer_is_late_and_not_lost() {
    // 2 x 0.65 s there and back: later than the interval that a round waits.
    let slow =
        "[[hop]]\naddress = \"198.51.100.1\"\ndelay = \"1ms\"\n[target]\ndelay = \"650ms\"\n";
    let topology = Topology::parse(&format!("source = \"192.0.2.2\"\n{slow}"), "test").unwrap();
    let mut config = config(&topology, ProbeType::Udp, TARGET.into());
    config.max_ttl = 2;
    let (watcher, _) = watched(topology, &config, plan(6));
    let target = &watcher.table.rows()[1];
    assert_eq!((target.sent, target.received, target.late, target.lost()), (6, 0, 6, 0));
    assert_eq!(target.rtts.last(), Some(Span::from_millis(1_302)));
}

/// It answers after 1.3 s; those beyond it do not wait for that.
fn slow_second_hop() -> Topology {
    line(&["", "reply_delay = \"1300ms\"", ""], "")
}

#[test]
fn what_may_yet_be_answered_is_neither_lost_nor_answered() {
    let topology = slow_second_hop();
    let config = config(&topology, ProbeType::Udp, TARGET.into());
    let mut rounds = Rounds::new(config.clone(), plan(20)).unwrap();
    let mut watcher = Watcher::new();
    watcher.cut_after = 70;
    driver::run(&mut rounds, &mut SimLink::new(topology), &mut watcher).unwrap();
    let row = &watcher.table.rows()[1];
    assert!(row.sent > row.late && row.late > 5, "{row:?}");
    assert_eq!((row.received, row.lost(), row.loss()), (0, 0, 0.0));
}

/// However late: as long as a trace would wait. And what is lost of it is lost.
#[test]
fn what_is_late_by_many_rounds_is_late_and_what_is_lost_is_lost() {
    let topology = slow_second_hop();
    let config = config(&topology, ProbeType::Udp, TARGET.into());
    let plan = Plan { interval: 0.1, rounds: Some(40), until: None };
    let (watcher, _) = watched(topology, &config, plan);
    let row = &watcher.table.rows()[1];
    assert_eq!((row.sent, row.late, row.lost()), (40, 40, 0));
    let lossy = line(&["", "reply_delay = \"1300ms\"\nloss = 0.3", ""], "");
    for rounds in [10, 20] {
        let plan = Plan { interval: 1.0, rounds: Some(rounds), until: None };
        let (watcher, _) = watched(lossy.clone(), &config, plan);
        let row = &watcher.table.rows()[1];
        assert!(row.late > 0 && row.lost() > 0, "{row:?}");
        assert_eq!((row.sent, row.late + row.lost()), (rounds, rounds));
    }
}

/// Later than the interval: no round lasts until the target has answered.
#[test]
fn a_target_that_answers_late_ends_the_path() {
    let slow = "[[hop]]\naddress = \"198.51.100.1\"\ndelay = \"1ms\"\n[[hop]]\naddress = \"198.51.100.2\"\n[target]\ndelay = \"170ms\"\n";
    let topology = Topology::parse(&format!("source = \"192.0.2.2\"\n{slow}"), "test").unwrap();
    for probe in [ProbeType::Udp, ProbeType::IcmpEcho, ProbeType::TcpSyn] {
        let config = config(&topology, probe, TARGET.into());
        let plan = Plan { interval: 0.3, rounds: Some(12), until: None };
        let (watcher, _) = watched(topology.clone(), &config, plan);
        let rows = watcher.table.rows();
        assert_eq!(rows.len(), 3, "{probe:?}");
        assert!(rows.iter().all(|row| (row.sent, row.lost()) == (12, 0)), "{rows:?}");
        // As far as it could be, until it is known.
        let probes = watcher.events.iter().filter(|event| matches!(event, Event::Sent(_))).count();
        assert!(probes < 12 * 3 + 60, "{probe:?} {probes}");
        let again = replayed(&watcher.frames, &config, plan, None, None);
        assert_eq!(format!("{:?}", again.table), format!("{:?}", watcher.table));
    }
}

/// From one time to another it takes nothing, or loses what it takes before it is captured.
pub struct Broken {
    pub inner: SimLink,
    pub from: Timestamp,
    pub to: Timestamp,
    pub refuses: bool,
}

impl Link for Broken {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        match (self.from..self.to).contains(&self.inner.now()) {
            false => self.inner.send(transmit),
            true if self.refuses => {
                let source = std::io::ErrorKind::NetworkUnreachable.into();
                Err(LinkError::Refused { destination: transmit.destination, source })
            }
            true => Ok(()),
        }
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        self.inner.receive(until)
    }
}

/// It is known from the rounds before; without that each lost answer would let the next round rise further.
#[test]
fn a_target_that_loses_much_is_not_asked_behind() {
    let topology = line(&["loss = 0.3", ""], "loss = 0.4");
    for probe in [ProbeType::Udp, ProbeType::IcmpEcho] {
        let config = config(&topology, probe, TARGET.into());
        let (watcher, _) = watched(topology.clone(), &config, plan(150));
        let rows = watcher.table.rows();
        assert_eq!(rows.len(), 3, "{probe:?}");
        let probes = watcher.events.iter().filter(|event| matches!(event, Event::Sent(_))).count();
        assert!(probes < 150 * 3 + 100, "{probe:?} {probes}");
    }
}

#[test]
fn an_outage_of_this_host_is_told_and_gone_through() {
    let topology = line(&["", ""], "");
    let config = config(&topology, ProbeType::Udp, TARGET.into());
    for (refuses, missing) in [(false, 7), (true, 7), (false, 150)] {
        let at = |rounds: i64| START.after(Span::from_millis(1_000 * rounds - 500));
        let (from, to) = (at(4), at(4 + missing));
        let link = Broken { inner: SimLink::new(topology.clone()), from, to, refuses };
        let plan = plan(u64::try_from(missing).unwrap() + 10);
        let (watcher, _) = watched_over(link, &config, plan);
        let table = &watcher.table;
        let missing = u64::try_from(missing).unwrap();
        // The time a probe may take until it is captured is that of a round or two.
        assert!(table.missed().abs_diff(missing) <= 2, "{} of {missing}", table.missed());
        assert_eq!(table.rounds(), missing + 10, "{refuses}");
        assert_eq!(watcher.refused > 0, refuses);
        assert!(watcher.missed.abs_diff(table.missed()) <= 1, "{}", watcher.missed);
        let row = &table.rows()[0];
        assert_eq!((row.sent, row.lost()), (table.rounds() - table.missed(), 0));
        let asked = row.history.iter().filter(|cell| cell.sent > 0).count();
        assert_eq!((row.history.len() as u64, asked as u64), (table.rounds(), row.sent));
        let again = replayed(&watcher.frames, &config, plan, None, None);
        assert_eq!(format!("{:?}", again.table), format!("{table:?}"));
    }
    // One that lasts to the end shows in the recording, which says how many rounds there were.
    let (from, to) =
        (START.after(Span::from_millis(3_500)), START.after(Span::from_millis(99_000)));
    for refuses in [false, true] {
        let link = Broken { inner: SimLink::new(topology.clone()), from, to, refuses };
        let (watcher, _) = watched_over(link, &config, plan(10));
        let table = &watcher.table;
        assert_eq!((table.rounds(), table.missed(), watcher.rounds), (10, 6, Some(10)));
        assert_eq!((table.rows()[0].sent, table.rows()[0].history.len()), (4, 10));
        let again = replayed(&watcher.frames, &config, plan(10), None, watcher.rounds);
        assert_eq!(format!("{:?}", again.table), format!("{table:?}"));
    }
    // Nothing was ever seen leaving: there is nothing to watch, and none of the rounds that were due was sent.
    let to = START.after(Span::from_millis(1_000_000));
    for meant in [1, 3, 500] {
        let link =
            Broken { inner: SimLink::new(topology.clone()), from: START, to, refuses: false };
        let (watcher, _) = watched_over(link, &config, plan(meant));
        let table = &watcher.table;
        let rounds = table.rounds();
        assert_eq!((rounds, watcher.rounds), (table.missed(), Some(rounds)), "{meant}");
        // As long as a trace would wait.
        assert!(if meant == 500 { (5..10).contains(&rounds) } else { rounds == meant }, "{rounds}");
        assert_eq!((watcher.frames.len(), table.rows().len()), (0, 0));
        assert!(!table.reached() && !watcher.reached);
        let again = replayed(&[], &config, plan(meant), None, watcher.rounds);
        assert_eq!(format!("{:?}", again.table), format!("{table:?}"));
    }
}

/// The second router stops forwarding for five rounds, and says so or not.
#[test]
fn what_an_outage_swallows_is_lost_and_the_target_stays_the_last_row() {
    for (code, probe, rounds) in [
        (Some("host"), ProbeType::Udp, 14),
        (Some("host"), ProbeType::IcmpEcho, 14),
        (None, ProbeType::Udp, 14),
        (None, ProbeType::TcpSyn, 14),
        // It lasts longer than rounds are kept, and to the end.
        (Some("admin"), ProbeType::Udp, 40),
        (None, ProbeType::Udp, 40),
    ] {
        let lasts = if rounds > 14 { 100 } else { 5 };
        let lost = if rounds > 14 { rounds - 4 } else { 5 };
        let says = code.map_or(String::new(), |code| format!(", unreachable = \"{code}\""));
        let outage = format!("outage = {{ after = \"3900ms\", lasts = \"{lasts}s\"{says} }}");
        let topology = line(&["", &outage, ""], "");
        let config = config(&topology, probe, TARGET.into());
        let (watcher, _) = watched(topology, &config, plan(rounds));
        let table = &watcher.table;
        let rows = table.rows();
        let what = format!("{code:?} {probe:?} {rounds}");
        let counts: Vec<_> = rows.iter().map(|row| (row.sent, row.lost())).collect();
        let at_router = if code.is_some() { 0 } else { lost };
        let expected = [(rounds, 0), (rounds, at_router), (rounds, lost), (rounds, lost)];
        assert_eq!(counts, expected, "{what}");
        let target = rows.last().unwrap();
        let responders: Vec<_> = target.responders.iter().map(|it| it.address).collect();
        assert_eq!(responders, [IpAddr::from(TARGET)], "{what}");
        assert_eq!(table.loss(3), Loss::Path, "{what}");
        assert!(table.changes().is_empty(), "{what}");
        assert_eq!((table.reached(), watcher.reached), (rounds == 14, rounds == 14), "{what}");
        assert_eq!(table.reach().unreached(), lost, "{what}");
        let outage = table.reach().outage().unwrap();
        assert_eq!((outage.round, outage.until.map(|it| it.0)), (4, (rounds == 14).then_some(9)));
        let router = outage.error().map(|reply| reply.responder);
        assert_eq!(router, code.map(|_| rows[1].responders[0].address), "{what}");
        let again = replayed(&watcher.frames, &config, plan(rounds), None, None);
        assert_eq!(format!("{:?}", again.table), format!("{table:?}"), "{what}");
    }
}

#[test]
fn a_limit_is_told_from_loss() {
    let limited = "rate = { per_second = 1, burst = 1 }";
    let topology = line(&["", limited, "", ""], "");
    let mut config = config(&topology, ProbeType::Udp, TARGET.into());
    config.queries = 3;
    let (watcher, _) = watched(topology, &config, plan(20));
    let table = &watcher.table;
    let losses: Vec<_> = (0..5).map(|index| table.loss(index)).collect();
    assert_eq!(losses, [Loss::None, Loss::RateLimited, Loss::None, Loss::None, Loss::None]);

    // Loss on the path is shared by all that is behind.
    let topology = line(&["", "loss = 0.3", "", ""], "");
    let (watcher, _) = watched(topology, &config, plan(40));
    let losses: Vec<_> = (0..5).map(|index| watcher.table.loss(index)).collect();
    assert_eq!(losses[0], Loss::None);
    assert!(losses[2..].iter().all(|loss| *loss == Loss::Path), "{losses:?}");
}

/// True loss before, at and behind a hop that limits its answers: each is told for what it is.
#[test]
fn a_limit_is_told_from_loss_wherever_that_is() {
    use Loss::{None, Path, RateLimited};
    let (limit, lossy) = ("rate = { per_second = 1, burst = 1 }", "loss = 0.15");
    let both = format!("{limit}\n{lossy}");
    let (mut lossy_hops, mut open) = (0, 0);
    for (hops, expected) in [
        (["", limit, "", "", ""], [None, RateLimited, None, None, None, None]),
        ([lossy, limit, "", "", ""], [Path, RateLimited, Path, Path, Path, Path]),
        (["", &both, "", "", ""], [None, RateLimited, Path, Path, Path, Path]),
        (["", limit, "", lossy, ""], [None, RateLimited, None, Path, Path, Path]),
        (["", limit, limit, limit, ""], [None, RateLimited, RateLimited, RateLimited, None, None]),
        (["", lossy, "", lossy, limit], [None, Path, Path, Path, RateLimited, Path]),
    ] {
        let topology = line(&hops, "");
        let config = TraceConfig { queries: 3, ..config(&topology, ProbeType::Udp, TARGET.into()) };
        let (watcher, _) = watched(topology, &config, plan(200));
        let found = watcher.table.verdicts();
        for (verdict, expected) in found.iter().zip(&expected) {
            // By chance one may lose so much more than those behind that it is left open.
            let is_open = *expected == Path && verdict.loss.reason().is_some();
            assert!(verdict.loss == *expected || is_open, "{hops:?}: {found:?}");
            (lossy_hops, open) =
                (lossy_hops + u32::from(*expected == Path), open + u32::from(is_open));
        }
    }
    assert!(open * 8 <= lossy_hops, "{open} of {lossy_hops} are left open");
}

/// Many hops that all lose by chance what the path loses: none of them is taken for one that limits.
#[test]
fn chance_is_no_limit() {
    let mut hops = vec![""; 20];
    hops[0] = "loss = 0.1";
    let mut limited = 0;
    for seed in 0..20 {
        let text = format!("seed = {seed}\n{}", line_of(&hops, "500us", ""));
        let topology = Topology::parse(&text, "test").unwrap();
        let config = config(&topology, ProbeType::Udp, TARGET.into());
        let (watcher, _) = watched(topology, &config, plan(50));
        let verdicts = watcher.table.verdicts();
        limited += verdicts.iter().filter(|it| it.loss == Loss::RateLimited).count();
    }
    assert_eq!(limited, 0, "of 420 hops");
}

/// Where nothing behind answers, or too few were sent, it is left open.
#[test]
fn what_cannot_be_told_is_not_said() {
    for (hops, target, rounds, index) in [
        (["", "loss = 0.5", ""], "silent = true", 40, 2),
        (["", "rate = { per_second = 0.5, burst = 1 }", ""], "", 2, 1),
    ] {
        let topology = line(&hops, target);
        let config = TraceConfig { max_ttl: 6, ..config(&topology, ProbeType::Udp, TARGET.into()) };
        let (watcher, _) = watched(topology, &config, plan(rounds));
        let found = watcher.table.verdicts();
        assert!(found[index].loss.reason().is_some(), "{found:?}");
    }
}

/// A watch that is interrupted counts what is known of the running round, and nothing of what is in flight.
#[test]
fn what_is_under_way_when_a_watch_is_cut_off_is_not_lost() {
    for rounds in [1, 2] {
        let network = || line(&["", "silent = true", ""], "");
        let config = config(&network(), ProbeType::Udp, TARGET.into());
        let (whole, _) = watched(network(), &config, plan(rounds));
        // Then all is answered, but for the hop that never does.
        let mut watcher = Watcher::new();
        watcher.cut_after = whole.frames.len();
        let mut engine = Rounds::new(config.clone(), plan(9)).unwrap();
        driver::run(&mut engine, &mut SimLink::new(network()), &mut watcher).unwrap();
        for row in watcher.table.rows() {
            let expected = if row.ttl == 2 { (rounds - 1, 0) } else { (rounds, rounds) };
            assert_eq!((row.sent, row.received), expected, "hop {}", row.ttl);
        }
        assert_eq!((watcher.table.rounds(), engine.reached()), (rounds, true));
        let again = replayed(&watcher.frames, &config, plan(9), watcher.cut_at, watcher.rounds);
        assert_eq!(again.events, watcher.events);
        assert_eq!(format!("{:?}", again.table), format!("{:?}", watcher.table));
    }
}

#[test]
fn a_watch_ends_when_it_is_to() {
    let topology = || line(&["", ""], "");
    let config = config(&topology(), ProbeType::Udp, TARGET.into());
    let after = |seconds| Until::After(Span::from_secs_f64(seconds));
    for (until, rounds) in [
        (after(0.0), 1),
        (after(3.0), 3),
        (after(3.001), 4),
        (after(100.0), 5),
        (Until::Time(START), 1),
        (Until::Time(START.after(Span::from_secs_f64(1.5))), 2),
    ] {
        let plan = Plan { until: Some(until), ..plan(5) };
        let (watcher, _) = watched(topology(), &config, plan);
        assert_eq!(watcher.table.rounds(), rounds, "{until:?}");
    }
}

#[test]
fn another_router_is_a_change_of_the_path() {
    let topology = line(&["", "silent = true", ""], "");
    let config = config(&topology, ProbeType::Udp, TARGET.into());
    let (one, _) = watched(topology, &config, plan(20));
    let other = "[[hop]]\naddress = \"198.51.100.77\"\ndelay = \"1ms\"\n";
    let text = format!(
        "source = \"192.0.2.2\"\n[[hop]]\naddress = \"198.51.100.1\"\ndelay = \"1ms\"\n{other}\
         [[hop]]\naddress = \"198.51.100.33\"\ndelay = \"1ms\"\n[target]\ndelay = \"1ms\"\n"
    );
    let mut rounds = Rounds::new(config.clone(), plan(20)).unwrap();
    let mut link = SimLink::new(Topology::parse(&text, "test").unwrap());
    let mut watcher = one;
    driver::run(&mut rounds, &mut link, &mut watcher).unwrap();
    let changes: Vec<_> =
        watcher.table.changes().iter().map(|it| (it.round, it.ttl, it.to)).collect();
    assert_eq!(changes, [(21, 3, IpAddr::from([198, 51, 100, 33]))]);
}

proptest! {
    #![proptest_config(cases(60))]

    /// The golden law of rounds: events and table follow from configuration and frames.
    #[test]
    fn a_recording_gives_the_same_rounds(
        seed: u64,
        six: bool,
        queries in 1..4_u16,
        interval in 0.05..2.0,
        queued in prop_oneof![Just(0), 0..40_i64],
        scout: bool,
        kind in 0..5_usize,
        cut_after in prop_oneof![Just(usize::MAX), 0..200_usize],
    ) {
        let kinds = [
            (ProbeType::Udp, FlowMode::Classic),
            (ProbeType::Udp, FlowMode::Paris),
            (ProbeType::IcmpEcho, FlowMode::Classic),
            (ProbeType::TcpSyn, FlowMode::Classic),
            (ProbeType::UdpFixed, FlowMode::Classic),
        ];
        let target: IpAddr =
            if six { "2001:db8:300::9".parse().unwrap() } else { TARGET.into() };
        let topology = Topology::random(seed);
        let (probe, flow_mode) = kinds[kind];
        let config =
            TraceConfig { queries, flow_mode, scout, ..config(&topology, probe, target) };
        let plan = Plan { interval, rounds: Some(4), until: None };
        let mut live = Watcher::new();
        live.cut_after = cut_after;
        let mut rounds = Rounds::new(config.clone(), plan).unwrap();
        let mut link = SimLink::new(topology).leaving_after(Span::from_millis(queued));
        driver::run(&mut rounds, &mut link, &mut live).unwrap();
        let again = replayed(&live.frames, &config, plan, live.cut_at, None);
        prop_assert_eq!(&again.events, &live.events);
        prop_assert_eq!(format!("{:?}", again.table), format!("{:?}", live.table));
    }
}
