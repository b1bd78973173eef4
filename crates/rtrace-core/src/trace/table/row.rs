//! One hop over many rounds: counts, round trips, who answered, and a cell for each of the last rounds.
//!
//! A row gets a cell for every round since its first, whether it was asked or not, so the last cells of all rows are of
//! the same rounds.

use std::net::IpAddr;

use super::super::changes::{Finding, Recent};
use super::super::limit::{Asked, Explained, Record};
use super::super::path::{Hop, Path, Probe};
use super::super::reply::Reply;
use super::super::shares::Share;
use super::super::summary::Summary;
use super::super::verdict::Evidence;
use super::history::{Cell, History};

/// Responders of a hop that are told apart; what further ones answer counts for the hop alone.
const RESPONDERS: usize = 16;

/// One hop over all rounds.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its TTL.
    pub ttl: u8,
    /// Probes sent.
    pub sent: u64,
    /// Those answered in time.
    pub received: u64,
    /// Those answered after they had timed out.
    pub late: u64,
    /// Those answered by damaged replies alone, which are not believed.
    pub damaged: u64,
    /// Rounds in which it was asked, but for one that was cut off.
    pub(super) asked: u64,
    /// The RTTs, late ones too.
    pub rtts: Summary,
    /// Who answered, in order of first appearance.
    pub responders: Vec<Responder>,
    /// The last rounds, the oldest first: one each since its first.
    pub history: History,
    /// Who answered lately.
    recent: Recent,
    /// As many of the latest rounds may still be answered: as such a reply has ever been late by.
    pub(super) young: usize,
    pub(super) record: Record,
}

/// One of those who answered at a hop.
#[derive(Clone, Debug)]
pub struct Responder {
    /// Its address.
    pub address: IpAddr,
    /// Its RTTs, unless it is the only one: then they are the hop's.
    rtts: Option<Box<Summary>>,
    /// Its last reply.
    pub reply: Reply,
    /// The round of that, from 1.
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

    /// Probes that were never answered, and will not be.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received + self.late + self.damaged + self.owed())
    }

    /// Probes whose answers may still come: those of the latest rounds of a hop whose replies have been late by as many.
    fn owed(&self) -> u64 {
        if self.young == 0 {
            return 0;
        }
        let young = self.history.iter().skip(self.history.len().saturating_sub(self.young));
        young.map(|cell| u64::from(cell.unanswered())).sum()
    }

    /// As many of the latest rounds may still be answered.
    #[must_use]
    pub fn young(&self) -> usize {
        self.young
    }

    /// The share of probes that were never answered, from 0 to 1, among those of which that is known.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.share().part()
    }

    fn share(&self) -> Share {
        Share { lost: self.lost(), sent: self.sent.saturating_sub(self.owed()) }
    }

    /// What limits make of its lost probes.
    #[must_use]
    pub fn explained(&self) -> Explained {
        self.record.explained()
    }

    /// What is known of its lost probes, with its latest probes.
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

    /// The RTTs of one of its responders, late ones too.
    #[must_use]
    pub fn rtts_of<'a>(&'a self, responder: &'a Responder) -> &'a Summary {
        responder.rtts.as_deref().unwrap_or(&self.rtts)
    }

    /// Takes in this hop of a round.
    pub(super) fn add(&mut self, hop: &Hop, path: &Path, round: u64) -> Vec<Finding> {
        // What was still in flight when a watch was cut off tells nothing.
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
