//! The golden law where our own probes are lost, refused, held up, seen twice, or leave unseen, at every position: of
//! single traces and of rounds, in every form.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use rtrace::capture::Format;
use rtrace::link::sim::{START, SimLink, Topology};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::TraceConfig;
use rtrace::trace::rounds::{Plan, Until};
use rtrace::wire::{Frame, LinkType};

use crate::golden_law::{NameMap, configs, recorded, replayed};
use crate::support::{cases, path_in, replay, run, scratch};

/// What becomes of a probe between us and the first router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It leaves and is captured.
    Leaves,
    /// It is dropped in silence: neither captured nor sent.
    Dropped,
    /// The kernel refuses it.
    Refused,
    /// It leaves, but the capture lacks it.
    Unseen,
    /// It leaves so many microseconds later, after others.
    HeldUp(i64),
    /// It is captured twice, the second time so many microseconds later.
    Twice(i64),
}

/// A simulated network behind a host that does all that to probes, one after another by a list that begins again
/// when it is used up.
pub struct Lossy {
    network: SimLink,
    now: Timestamp,
    fates: Vec<Fate>,
    handed_over: usize,
    queue: BTreeMap<(Timestamp, u64), Due>,
    caused: u64,
    frame: Vec<u8>,
}

enum Due {
    /// A probe leaves; it is captured or not.
    Leaving(Vec<u8>, bool),
    Captured(Vec<u8>),
}

impl Lossy {
    pub fn new(topology: Topology, fates: &[Fate]) -> Self {
        Self {
            network: SimLink::new(topology),
            now: START,
            fates: fates.to_vec(),
            handed_over: 0,
            queue: BTreeMap::new(),
            caused: 0,
            frame: Vec::new(),
        }
    }

    fn expect(&mut self, at: Timestamp, due: Due) {
        self.caused += 1;
        self.queue.insert((at, self.caused), due);
    }
}

impl Link for Lossy {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.now = self.now.after(Span::from_micros(4));
        let fate = self.fates[self.handed_over % self.fates.len()];
        self.handed_over += 1;
        let (now, bytes) = (self.now, transmit.datagram.to_vec());
        let later = |us| now.after(Span::from_micros(us));
        match fate {
            Fate::Leaves => self.expect(now, Due::Leaving(bytes, true)),
            Fate::Dropped => {}
            Fate::Refused => {
                let source = std::io::ErrorKind::PermissionDenied.into();
                return Err(LinkError::Refused { destination: transmit.destination, source });
            }
            Fate::Unseen => self.expect(now, Due::Leaving(bytes, false)),
            Fate::HeldUp(us) => self.expect(later(us), Due::Leaving(bytes, true)),
            Fate::Twice(us) => {
                self.expect(later(us), Due::Captured(bytes.clone()));
                self.expect(now, Due::Leaving(bytes, true));
            }
        }
        Ok(())
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        let limit = until.map(|until| until.max(self.now));
        loop {
            let next = self.queue.first_key_value().map(|(key, _)| *key);
            let next = next.filter(|(at, _)| limit.is_none_or(|limit| *at <= limit));
            let Some((key, due)) = next.and_then(|key| self.queue.remove_entry(&key)) else {
                let Some(limit) = limit else { return Ok(Received::End) };
                self.now = limit;
                return Ok(Received::Quiet(limit));
            };
            self.now = key.0;
            let captured = match due {
                Due::Captured(bytes) => Some(bytes),
                Due::Leaving(bytes, captured) => {
                    for (at, reply) in self.network.answers(self.now, &bytes) {
                        self.expect(at, Due::Captured(reply));
                    }
                    Some(bytes).filter(|_| captured)
                }
            };
            let Some(bytes) = captured else { continue };
            self.frame = bytes;
            let (at, bytes) = (self.now, self.frame.as_slice());
            return Ok(Received::Frame(Frame::whole(at, LinkType::Raw, bytes)));
        }
    }
}

pub fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        4 => Just(Fate::Leaves),
        3 => Just(Fate::Dropped),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Unseen),
        1 => (0..1_500_000_i64).prop_map(Fate::HeldUp),
        1 => (0..1_500_000_i64).prop_map(Fate::Twice),
    ];
    prop::collection::vec(fate, 1..80)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_trace_replays_alike_whichever_probes_are_lost(
        seed: u64,
        config in configs(),
        fates in fates(),
        left in prop_oneof![Just(usize::MAX), 1..60_usize],
    ) {
        let topology = Topology::random(seed);
        let config = TraceConfig { source: topology.source_for(config.target), ..config };
        let names = topology.names().clone();
        let mut link = Lossy::new(topology, &fates);
        let (live, recording) =
            recorded(&mut link, names, &config, None, Format::PcapNg, left);
        prop_assert_eq!(replayed(&recording, &config, NameMap::new()), live);
    }

    #[test]
    fn rounds_replay_alike_whichever_probes_are_lost(
        seed: u64,
        config in configs(),
        fates in fates(),
        interval in prop_oneof![0.01..0.1, 0.1..2.0],
        rounds in prop_oneof![3 => (1..9_u64).prop_map(Some), 1 => Just(None)],
        left in prop_oneof![2 => Just(300), 1 => 1..300_usize],
    ) {
        let topology = Topology::random(seed);
        let config = TraceConfig { source: topology.source_for(config.target), ..config };
        let names = topology.names().clone();
        // However much is refused.
        let until = Some(Until::After(Span::from_millis(5_000)));
        let plan = Plan { interval, rounds, until };
        // Rounds without end are interrupted, and some of the others.
        let left = if rounds.is_some() && left == 300 { usize::MAX } else { left };
        let mut link = Lossy::new(topology, &fates);
        let (live, recording) =
            recorded(&mut link, names, &config, Some(plan), Format::PcapNg, left);
        prop_assert_eq!(replayed(&recording, &config, NameMap::new()), live);
    }
}

/// Half of all probes, by turns.
pub fn every_second() -> Vec<Fate> {
    vec![Fate::Dropped, Fate::Leaves]
}

#[test]
fn no_round_takes_in_the_probes_of_another() {
    let target: IpAddr = [203, 0, 113, 9].into();
    for queries in [1, 2, 3] {
        let topology = Topology::builtin();
        let config = TraceConfig::new(topology.source_for(target), target, 40_000).scouting();
        let config = TraceConfig { queries, ..config };
        let plan = Plan { interval: 1.0, rounds: Some(12), until: None };
        let mut link = Lossy::new(topology, &every_second());
        let (live, _) =
            recorded(&mut link, NameMap::new(), &config, Some(plan), Format::PcapNg, usize::MAX);
        let stream = live.last().unwrap();
        for line in stream.lines().filter(|line| line.starts_with("{\"event\":\"round\"")) {
            let round: serde_json::Value = serde_json::from_str(line).unwrap();
            // No round takes as long as from one to the next.
            assert!(round["duration_ns"].as_i64().unwrap() < 1_000_000_000, "{line}");
        }
        assert_eq!(stream.matches("\"event\":\"round\"").count(), 12, "{stream}");
    }
}

/// The numbers that identify probes are those by which they were sent.
#[test]
fn what_a_replay_is_asked_for_changes_no_round() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let path = recording.to_str().unwrap();
    let watch = ["watch", "--simulate", "--rounds", "12", "-q3", "--format", "ndjson"];
    run(&[&watch[..], &["--interval", "0.5", "--pcap", path, "203.0.113.9"]].concat());
    for options in ["", "-q1", "-q9", "-m5", "-f2", "-p33500"] {
        let options: Vec<&str> = Some(options).filter(|it| !it.is_empty()).into_iter().collect();
        let again = replay(&recording, &[&["--format", "ndjson"], &options[..]].concat());
        let rounds = again.stdout.matches("\"event\":\"round\"").count();
        assert_eq!(rounds, 12, "{options:?}: {again:?}");
    }
}
