//! What to conclude from the size probes that were sent, and what to send next: one narrow link after the other.

use super::super::config::TraceConfig;
use super::super::path::Path;
use super::super::reply::least_mtu;
use super::evidence::{Evidence, Fate, Refusal};
use super::{Ask, Cause, Narrowing};
use crate::wire::extension::Family;

/// What links commonly take (RFC 1191 §7.1), and the least that they do over IPv6 (RFC 8200 §5).
const PLATEAUS: [u16; 12] =
    [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_280, 1_006, 508, 296, 68];
/// How often the size just above what a router says is tried: no answer to it proves nothing.
const CHECKS: usize = 5;
/// How many of those are sent at once, not each after a rest.
const CHECKS_AT_ONCE: usize = 2;

/// What a narrow link does to a size, so that a smaller one with another fate shows how much it takes.
#[derive(Clone, Copy)]
enum Class<'a> {
    /// Nobody answers it.
    Vanishes,
    /// The router that said this refuses it.
    Refused(Refusal<'a>),
}

/// A size and whether it has the fate in question.
struct Known {
    len: u16,
    alike: bool,
    /// By an answer.
    proven: bool,
}

/// What is known, to reason from. An `Err` of its functions is what has to be tried first; one that is empty says that
/// nothing can be concluded.
pub(super) struct Search<'a> {
    config: &'a TraceConfig,
    evidence: Evidence<'a>,
    /// The hops that answer.
    pub(super) hops: Vec<u8>,
}

impl<'a> Search<'a> {
    pub(super) fn new(path: &'a Path, config: &'a TraceConfig) -> Self {
        let evidence = Evidence::new(path, config);
        let hops = evidence.answering_hops();
        Self { config, evidence, hops }
    }

    /// The length that every answering hop has answered.
    pub(super) fn floor(&self) -> u16 {
        self.evidence.floor
    }

    /// The longest up to `most` that is known to reach hop `ttl`.
    pub(super) fn passes(&self, ttl: u8, most: u16) -> u16 {
        self.evidence.passes(ttl, most)
    }

    /// The first link before hop `end` that does not take `size`.
    pub(super) fn step(&self, end: u8, size: u16) -> Result<Option<Narrowing>, Vec<Ask>> {
        if size <= self.floor() {
            return Ok(None);
        }
        match self.evidence.fate(end, size) {
            Fate::Passed => Ok(None),
            Fate::Refused(refusal) => self.refused(end, size, refusal).map(Some),
            Fate::Lost if !self.evidence.presumed_lost(end, size) => Err(vec![self.ask(end, size)]),
            Fate::Lost => {
                let (after, before) = self.locate(end, size)?;
                if let Fate::Refused(refusal) = self.evidence.fate(before, size) {
                    return self.refused(before, size, refusal).map(Some);
                }
                self.answers_still(before, size)?;
                let mtu = self.threshold(before, size, Class::Vanishes)?;
                Ok(Some(Narrowing { after: Some(after), before, mtu, cause: Cause::Silent }))
            }
        }
    }

    /// A link that does not take `size`, as a router on the path to hop `ttl` says.
    fn refused(&self, ttl: u8, size: u16, refusal: Refusal<'_>) -> Result<Narrowing, Vec<Ask>> {
        let Refusal { reply, hop: after } = refusal;
        let least = least_mtu(Family::of(self.config.target));
        let before = after.map_or(ttl, |after| after + 1);
        let near = after.map_or(ttl, |after| self.next_answering(after, ttl));
        let claim = reply.kind.too_big();
        let possible = least.max(self.passes(near, u16::MAX))..size;
        let credible = claim.and_then(|mtu| u16::try_from(mtu).ok());
        let by = reply.responder;
        if let Some(mtu) = credible.filter(|mtu| possible.contains(mtu)) {
            return Ok(Narrowing { after, before, mtu, cause: Cause::Told(by) });
        }
        let mtu = self.threshold(near, size, Class::Refused(refusal))?;
        let cause = Cause::Refused(by, claim.filter(|claim| *claim > 0));
        Ok(Narrowing { after, before, mtu, cause })
    }

    /// What shows whether routers that say what they take could take more: it is believed until they do.
    pub(super) fn checks(&self, narrowings: &[Narrowing], end: u8) -> Vec<Ask> {
        let told = narrowings.iter().filter(|it| matches!(it.cause, Cause::Told(_)));
        let more = told.filter_map(|it| {
            let near = it.after.map_or(end, |after| self.next_answering(after, end));
            Some((near, it.mtu.checked_add(1)?))
        });
        let open = more.filter_map(|(ttl, len)| {
            let tries = self.evidence.tried(ttl, len).count();
            let lost = matches!(self.evidence.fate(ttl, len), Fate::Lost) && tries < CHECKS;
            lost.then_some(Ask { ttl, len, rested: tries >= CHECKS_AT_ONCE })
        });
        open.collect()
    }

    /// The first hop after this one that answers, up to `end`.
    fn next_answering(&self, after: u8, end: u8) -> u8 {
        self.hops.iter().copied().find(|ttl| *ttl > after).unwrap_or(end).min(end)
    }

    /// Between which answering hops `size` vanishes: the TTLs of the last that it reaches and of the next.
    fn locate(&self, end: u8, size: u16) -> Result<(u8, u8), Vec<Ask>> {
        let mut asks = Vec::new();
        let mut after = 0;
        for ttl in self.hops.iter().copied().filter(|ttl| *ttl < end) {
            match self.evidence.fate(ttl, size) {
                Fate::Passed => after = ttl,
                Fate::Lost if !self.evidence.presumed_lost(ttl, size) => {
                    asks.push(self.ask(ttl, size));
                }
                _ => {}
            }
        }
        let before = self.next_answering(after, end);
        if asks.is_empty() { Ok((after, before)) } else { Err(asks) }
    }

    /// The longest below `size` that has another fate on the path to hop `ttl` than `size`, whose fate is of this class.
    fn threshold(&self, ttl: u8, size: u16, class: Class<'_>) -> Result<u16, Vec<Ask>> {
        let passes = self.passes(ttl, size - 1);
        let known: Vec<_> = self
            .evidence
            .lengths()
            .filter(|len| (passes + 1..size).contains(len))
            .filter_map(|len| self.known(ttl, len, class))
            .collect();
        // An answer counts for more than silence: above it, or below it, nothing else can be true.
        let bound = |alike| known.iter().filter(move |it| it.alike == alike);
        let least_alike = |from: u16, proven: bool| {
            bound(true).filter(|it| it.proven == proven && it.len > from).map(|it| it.len).min()
        };
        let high = least_alike(0, true).unwrap_or(size);
        let other = bound(false).map(|it| it.len).filter(|len| *len < high);
        let low = other.max().unwrap_or(passes);
        let high = least_alike(low, false).unwrap_or(high).min(high);
        let between = |len: &u16| (low + 1..high).contains(len);
        let Some(half) = Some(low + (high - low) / 2).filter(between) else {
            self.confirm(ttl, (low, high), class)?;
            return Ok(low);
        };
        let plateau = PLATEAUS.iter().copied().find(between).filter(|_| low == self.floor());
        Err(vec![self.ask(ttl, plateau.unwrap_or(half))])
    }

    /// Whether this size is known to have a fate of this class, or another.
    fn known(&self, ttl: u8, len: u16, class: Class<'_>) -> Option<Known> {
        let vanishes = matches!(class, Class::Vanishes);
        match (self.evidence.fate(ttl, len), class) {
            (Fate::Passed, _) | (Fate::Refused(_), Class::Vanishes) => {
                Some(Known { len, alike: false, proven: true })
            }
            (Fate::Lost, _) => self.evidence.presumed_lost(ttl, len).then_some(Known {
                len,
                alike: vanishes,
                proven: false,
            }),
            (Fate::Refused(one), Class::Refused(other)) => {
                let same_hop = one.hop.is_some() && one.hop == other.hop;
                let alike = same_hop || one.reply.responder == other.reply.responder;
                Some(Known { len, alike, proven: true })
            }
        }
    }

    /// Confirms that the unanswered one of two neighbouring sizes vanishes.
    fn confirm(&self, ttl: u8, (low, high): (u16, u16), class: Class<'_>) -> Result<(), Vec<Ask>> {
        let (silent, control) = match class {
            Class::Vanishes => (high, Some(low.max(self.control())).filter(|len| *len < high)),
            Class::Refused(_) => (low, Some(high)),
        };
        let lost = matches!(self.evidence.fate(ttl, silent), Fate::Lost);
        if !lost || silent <= self.floor() {
            return Ok(());
        }
        self.evidence.confirm(ttl, silent, control)
    }

    /// Whether hop `ttl` answers now: a short size probe, after it has left a longer one unanswered.
    fn answers_still(&self, ttl: u8, size: u16) -> Result<(), Vec<Ask>> {
        let known = self.evidence.answered_later(ttl, size) || self.control() >= size;
        if known { Ok(()) } else { Err(vec![self.ask(ttl, self.control())]) }
    }

    /// The shortest that a size probe is: what a hop that answers at all answers.
    fn control(&self) -> u16 {
        self.floor().saturating_add(1)
    }

    fn ask(&self, ttl: u8, len: u16) -> Ask {
        self.evidence.ask(ttl, len)
    }
}
