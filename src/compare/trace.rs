//! A trace as its JSON document has it (`schema/trace.schema.json`): the part that is compared, hop by hop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::Error as _;

use super::rewrites::{OF_DOCUMENT, Quotes};
use super::{ParseError, Target, document};
use crate::schema::{Stop, StopReason};

/// The label before an entropy label, by which balancers spread flows and nobody routes (RFC 6790 §4.2).
const ENTROPY_INDICATOR: u32 = 7;

/// A trace.
#[derive(Clone, Debug, Deserialize)]
pub struct Trace {
    /// What was traced.
    pub target: Target,
    #[serde(default)]
    asked: Asked,
    hops: Vec<TracedHop>,
    pub(super) stop: Stop,
    /// How routers quoted the probes, as far as a recording tells more than the document.
    #[serde(skip)]
    quotes: Quotes,
    /// Further rounds that are part of it.
    #[serde(skip)]
    more_rounds: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    flow: String,
    tos: u8,
    /// Over IPv6.
    flow_label: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
struct TracedHop {
    ttl: u8,
    probes: Vec<TracedProbe>,
}

#[derive(Clone, Debug, Deserialize)]
struct TracedProbe {
    source_port: Option<u16>,
    destination_port: Option<u16>,
    identifier: Option<u16>,
    sequence: Option<u16>,
    head: Option<String>,
    replies: Vec<TracedReply>,
}

#[derive(Clone, Debug, Deserialize)]
struct TracedReply {
    responder: IpAddr,
    rtt_ns: Option<i64>,
    /// Whether the RTT is unreliable.
    #[serde(default)]
    clock_fault: bool,
    quoted_tos: Option<u8>,
    quoted_ttl: Option<u8>,
    #[serde(default)]
    rewritten: bool,
    #[serde(default)]
    duplicate: bool,
    extension: Option<Box<Extension>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Extension {
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Clone, Debug, Deserialize)]
struct Object {
    labels: Option<Vec<Label>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Label {
    label: Option<u32>,
}

/// What distinguishes flows: the fields that load balancers hash, and others.
pub(super) type FlowKey = (Option<u32>, Option<u16>, Option<u16>, Option<String>);

/// What a trace shows of one hop.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop {
    pub ttl: u8,
    /// Who answers, and with which label stacks; `None` is no stack.
    pub labels: BTreeMap<IpAddr, BTreeSet<Option<String>>>,
    pub rtts: Vec<i64>,
    /// What each probe drew.
    pub draws: Vec<Draw>,
}

/// One probe: its flow, and who answered it with which label stack.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    pub flow: FlowKey,
    pub answer: Option<(IpAddr, Option<String>)>,
}

impl Trace {
    /// Reads the JSON document of a trace.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        let trace: Self = document::parse(json, document::TRACE)?;
        // This bounds the number of hops by the number of TTLs.
        if !trace.hops.is_sorted_by(|one, next| one.ttl < next.ttl) {
            return Err(serde_json::Error::custom("its hops are not in order of their TTLs").into());
        }
        Ok(trace)
    }

    /// How many probes it has, in all rounds that are part of it.
    #[must_use]
    pub fn probes(&self) -> usize {
        self.hops.iter().map(|hop| hop.probes.len()).sum()
    }

    /// Adds what a recording shows of quotes beyond its document.
    #[must_use]
    pub fn with_quotes(mut self, quotes: Quotes) -> Self {
        self.quotes = quotes;
        self
    }

    /// Makes another round part of it. It ends as the last that was finished.
    pub fn join(&mut self, round: Self) {
        self.more_rounds += 1;
        if !round.unfinished() || self.unfinished() {
            let target_reached = self.stop.target_reached || round.stop.target_reached;
            self.stop = Stop { target_reached, ..round.stop };
        }
        for hop in round.hops {
            match self.hops.iter_mut().find(|known| known.ttl == hop.ttl) {
                Some(known) => known.probes.extend(hop.probes),
                None => self.hops.push(hop),
            }
        }
        self.hops.sort_by_key(|hop| hop.ttl);
    }

    pub(super) fn rounds(&self) -> usize {
        self.more_rounds + 1
    }

    /// Whether the run was ended, or its recording is torn, before all hops were probed. The end may be known before the path to it.
    pub(super) fn unfinished(&self) -> bool {
        let asked = self.hops.last().map(|hop| hop.ttl);
        self.stop.reason == StopReason::Incomplete || asked < self.stop.ttl
    }

    /// Its hops, from the first to the end of the path, if that is known.
    pub(super) fn hops(&self) -> Vec<Hop> {
        let within = |hop: &&TracedHop| self.stop.ttl.is_none_or(|end| hop.ttl <= end);
        let hops = self.hops.iter().filter(within);
        hops.map(|hop| Hop::of(hop, &self.asked)).collect()
    }

    /// The end of the path, or as far as anybody answered.
    pub(super) fn farthest(&self) -> u8 {
        let answered = |hop: &&TracedHop| hop.probes.iter().any(|probe| !probe.replies.is_empty());
        let end = self.stop.ttl.filter(|_| !self.unfinished());
        end.or_else(|| Some(self.hops.iter().rfind(answered)?.ttl)).unwrap_or(0)
    }

    /// How many probes had this TTL or a higher one, and how many of them the target answered.
    pub(super) fn to_target(&self, from: u8) -> (usize, usize) {
        let beyond = self.hops.iter().filter(|hop| hop.ttl >= from).flat_map(|hop| &hop.probes);
        let target = self.target.address;
        let answered = |probe: &&TracedProbe| probe.replies.iter().any(|it| it.responder == target);
        (beyond.clone().count(), beyond.filter(answered).count())
    }

    /// What became of the probes' fields, hop by hop.
    pub(super) fn quotes(&self) -> Quotes {
        let mut quotes = Quotes::default();
        let within = |hop: &&TracedHop| self.stop.ttl.is_none_or(|end| hop.ttl <= end);
        for hop in self.hops.iter().filter(within) {
            let replies = hop.probes.iter().flat_map(|probe| &probe.replies);
            for reply in replies.filter(|reply| reply.quoted_ttl.is_some()) {
                quotes.note(OF_DOCUMENT, hop.ttl, reply.rewritten.then(String::new));
                let Some(tos) = reply.quoted_tos else { continue };
                for (field, sent, quoted) in
                    [("DSCP", self.asked.tos >> 2, tos >> 2), ("ECN", self.asked.tos & 3, tos & 3)]
                {
                    quotes.note(field, hop.ttl, (sent != quoted).then(|| quoted.to_string()));
                }
            }
        }
        quotes.with(self.quotes.clone())
    }
}

impl Hop {
    fn of(hop: &TracedHop, asked: &Asked) -> Self {
        let mut seen = Self { ttl: hop.ttl, ..Self::default() };
        for probe in &hop.probes {
            let mut answer = None;
            for reply in probe.replies.iter().filter(|reply| !reply.duplicate) {
                let labels = reply.extension.as_deref().and_then(labels);
                seen.rtts.extend(reply.rtt_ns.filter(|_| !reply.clock_fault));
                answer.get_or_insert((reply.responder, labels.clone()));
                seen.labels.entry(reply.responder).or_default().insert(labels);
            }
            seen.draws.push(Draw { flow: probe.flow(asked), answer });
        }
        seen
    }

    pub(super) fn is_silent(&self) -> bool {
        self.labels.is_empty()
    }

    pub(super) fn responders(&self) -> BTreeSet<IpAddr> {
        self.labels.keys().copied().collect()
    }

    pub(super) fn shares_a_router_with(&self, other: &Self) -> bool {
        self.labels.keys().any(|responder| other.labels.contains_key(responder))
    }
}

impl TracedProbe {
    fn flow(&self, asked: &Asked) -> FlowKey {
        let label = asked.flow_label;
        if self.identifier.is_some() {
            // By the checksum, which follows the sequence number unless it is kept the same.
            return (label, self.identifier, self.sequence.filter(|_| asked.flow != "paris"), None);
        }
        (label, self.source_port, self.destination_port, self.head.clone())
    }
}

/// The label stack of an extension, as "24015/3001"; in the place of an entropy label "*".
fn labels(extension: &Extension) -> Option<String> {
    let stack = extension.objects.iter().find_map(|object| object.labels.as_ref())?;
    let labels = stack.iter().filter_map(|entry| entry.label);
    let mut chosen = false;
    let labels = labels.map(|label| {
        let shown = if chosen { "*".to_owned() } else { label.to_string() };
        chosen = label == ENTROPY_INDICATOR && !chosen;
        shown
    });
    Some(labels.collect::<Vec<_>>().join("/"))
}
