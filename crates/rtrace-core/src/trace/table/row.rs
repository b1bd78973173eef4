//! One hop over many rounds: counts, round-trip times, who answered, and a cell for each of the last rounds.
//!
//! A row gets a cell for every round since its first, whether the hop was probed or not. So the last cells of all
//! rows belong to the same rounds.

use std::net::IpAddr;

use super::super::changes::{Finding, Recent};
use super::super::limit::{Asked, Explained, Record};
use super::super::path::{Hop, Path, Probe};
use super::super::reply::Reply;
use super::super::shares::Share;
use super::super::summary::Summary;
use super::super::verdict::Evidence;
use super::history::{Cell, History};

/// The most responders of a hop that are distinguished; answers of further ones count for the hop alone.
const RESPONDERS: usize = 16;

/// One hop over all rounds.
#[derive(Clone, Debug)]
pub struct Row {
    /// The TTL of the hop.
    pub ttl: u8,
    /// The number of probes sent.
    pub sent: u64,
    /// The number of probes answered in time.
    pub received: u64,
    /// The number of probes answered after they had timed out.
    pub late: u64,
    /// The number of probes answered by damaged replies alone, which are not believed.
    pub damaged: u64,
    /// The number of rounds in which the hop was probed, without a round that was cut off.
    pub(super) asked: u64,
    /// The RTTs of the hop, late ones included.
    pub rtts: Summary,
    /// Who answered, in order of first appearance.
    pub responders: Vec<Responder>,
    /// One cell for each of the last rounds since its first, the oldest first.
    pub history: History,
    /// Who answered recently.
    recent: Recent,
    /// The number of latest rounds that may still be answered: the most rounds by which a reply has been late.
    pub(super) young: usize,
    pub(super) record: Record,
}

/// One of those that answered at a hop.
#[derive(Clone, Debug)]
pub struct Responder {
    /// The address of the responder.
    pub address: IpAddr,
    /// The RTTs of the responder; `None` if it is the only one, whose RTTs are those of the hop.
    rtts: Option<Box<Summary>>,
    /// Its last reply.
    pub reply: Reply,
    /// The round of its last reply, from 1.
    pub round: u64,
}

impl Row {
    pub(super) fn new(ttl: u8) -> Self {
        Self {
            ttl,
            sent: 0,
            received: 0,
            late: 0,
            damaged: 0,
            asked: 0,
            rtts: Summary::default(),
            responders: Vec::new(),
            history: History::default(),
            recent: Recent::default(),
            young: 0,
            record: Record::default(),
        }
    }

    /// The number of probes that were not answered, and will not be.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received + self.late + self.damaged + self.owed())
    }

    /// The number of probes whose answers may still come: those of the latest rounds of a hop whose replies have been
    /// that late.
    fn owed(&self) -> u64 {
        if self.young == 0 {
            return 0;
        }
        let young = self.history.iter().skip(self.history.len().saturating_sub(self.young));
        young.map(|cell| u64::from(cell.unanswered())).sum()
    }

    /// The number of latest rounds that may still be answered.
    #[must_use]
    pub fn young(&self) -> usize {
        self.young
    }

    /// The share of probes that were not answered, from 0 to 1, among the probes whose answers can no longer come.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.share().part()
    }

    fn share(&self) -> Share {
        Share { lost: self.lost(), sent: self.sent.saturating_sub(self.owed()) }
    }

    /// What rate limits explain of its lost probes.
    #[must_use]
    pub fn explained(&self) -> Explained {
        self.record.explained()
    }

    /// The evidence about its lost probes, with its latest probes.
    pub(super) fn evidence<'a>(&self, probes: &'a [Asked]) -> Evidence<'a> {
        let last = self.responders.last().map(|it| it.reply.kind);
        let errors = last.is_some_and(|kind| kind.icmp().is_some());
        Evidence { share: self.share(), explained: self.explained(), probes, errors }
    }

    pub(super) fn remember(&mut self, cell: Cell) {
        self.history.push(cell);
    }

    pub(super) fn note(&mut self, reply: &Reply, round: u64) {
        if reply.rtt.is_none() {
            return;
        }
        let measured = reply.measured();
        let known = self.responders.iter().position(|it| it.address == reply.responder);
        if known.is_none()
            && let [only] = &mut self.responders[..]
        {
            only.rtts.get_or_insert_with(|| Box::new(self.rtts.clone()));
        }
        self.rtts.extend(measured);
        if let Some(responder) = known.and_then(|known| self.responders.get_mut(known)) {
            if let Some(rtts) = &mut responder.rtts {
                rtts.extend(measured);
            }
            (responder.reply, responder.round) = (reply.clone(), round);
        } else if self.responders.len() < RESPONDERS {
            let rtts = (!self.responders.is_empty()).then(|| {
                let mut rtts = Summary::default();
                rtts.extend(measured);
                Box::new(rtts)
            });
            let (address, reply) = (reply.responder, reply.clone());
            self.responders.reserve_exact(1);
            self.responders.push(Responder { address, rtts, reply, round });
        }
    }

    /// The RTTs of one of its responders, late ones included.
    #[must_use]
    pub fn rtts_of<'a>(&'a self, responder: &'a Responder) -> &'a Summary {
        responder.rtts.as_deref().unwrap_or(&self.rtts)
    }

    /// Takes in this hop of a round, and returns what that round showed of it.
    pub(super) fn add(&mut self, hop: &Hop, path: &Path, round: u64) -> Vec<Finding> {
        // Probes that were still in flight when a watch was cut off show nothing.
        let mine = |reply: &&Reply| path.is_of_hop(hop.ttl, reply);
        let answers = || hop.probes.iter().filter_map(Probe::answer).filter(mine);
        let counted = || hop.probes.iter().filter_map(Probe::counted).filter(mine);
        let cell = Cell {
            sent: u16::try_from(hop.settled()).unwrap_or(u16::MAX),
            received: u16::try_from(answers().count()).unwrap_or(u16::MAX),
            late: u16::try_from(counted().filter(|reply| reply.late).count()).unwrap_or(u16::MAX),
            damaged: u16::try_from(hop.damaged()).unwrap_or(u16::MAX),
            rtt: answers().filter_map(Reply::measured).min(),
        };
        self.sent += u64::from(cell.sent);
        self.received += u64::from(cell.received);
        self.damaged += u64::from(cell.damaged);
        if !path.cut_off {
            self.record.add(hop, path);
        }
        self.asked += u64::from(cell.sent > 0 && !path.cut_off);
        self.remember(cell);
        self.late += counted().filter(|reply| reply.late).count() as u64;
        for reply in counted() {
            self.note(reply, round);
        }
        self.recent.add(hop, path, round)
    }
}
