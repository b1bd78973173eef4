//! Irregularities in quotes whose compared fields are unchanged: TTLs, checksums, senders.
//!
//! A router takes one off the TTL and says that it ran out at 0, quoting what it received: so time exceeded quotes a TTL of
//! 1 (RFC 1812 §5.3.1). Of a probe that was delivered the TTL sent less the TTL quoted says how far it came.

use std::mem::discriminant;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::checksums::Verdict;
use super::place::{self, Place, Seen, Stage};
use super::quoting::{Habit, Manner};
use super::{Comparison, fields};

/// Something odd about a quote, or about the quotes of several hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Oddity {
    /// The TTL is higher than what can be left of it: it was set anew.
    TtlSet {
        /// What the probe was sent with.
        sent: u8,
        /// What arrived.
        quoted: u8,
    },
    /// The TTL ran out though this much of it was left: it was not lowered before, as in MPLS tunnels.
    TtlKept {
        /// What arrived.
        quoted: u8,
    },
    /// A TTL of 0 arrived: the router before forwards what it should not, so that the next one answers at two hops.
    TtlZero,
    /// A TTL of 0 is quoted.
    TtlZeroQuoted {
        /// It is that router's way of quoting: what it quotes has its own one taken off. If not, it may be that, or the
        /// router before forwards a TTL of 0.
        certain: bool,
    },
    /// A field is not quoted as it arrived, which is that router's way of quoting: the next hop quotes it as it was, or no
    /// router would forward what it says.
    Quoting {
        /// Its name.
        field: &'static str,
        /// What arrived, in one probe.
        arrived: u64,
        /// What was quoted.
        quoted: u64,
        /// The manner, if it is a known one.
        manner: Option<Manner>,
    },
    /// One router stands at several hops in a row: it lowers the TTL by more than one, or the one before it does not
    /// always lower it.
    Repeated {
        /// That router.
        router: IpAddr,
        /// The first of its hops.
        first: u8,
        /// The last of them.
        last: u8,
    },
    /// The target says that the TTL ran out, as no target does: translation put its address there (RFC 5508 §4.2 and
    /// netfilter give errors from behind a translated destination that address).
    FromTarget,
    /// The checksum of the quoted IPv4 header is wrong.
    HeaderChecksum,
    /// The checksum of the quoted message is wrong.
    Checksum {
        /// Its name among fields.
        field: &'static str,
        /// The whole message was quoted.
        whole: bool,
        /// The source differs from the one that was sent: the quote may lack what a further translation put back.
        translated: bool,
    },
}

/// An oddity, and where it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Odd {
    /// Where.
    pub place: Place,
    /// What.
    pub oddity: Oddity,
}

impl Comparison {
    /// What is odd about this quote by itself.
    #[must_use]
    pub fn oddities(&self, target: IpAddr) -> Vec<Oddity> {
        let Self { ttl: quoted, sent_ttl: sent, whole, checksum_field, .. } = *self;
        let in_transit = self.in_transit();
        let (raised, quoted) = (quoted.is_some_and(|it| it > sent), quoted.unwrap_or(1));
        let wrong = self.checksum == Some(Verdict::Wrong) && !self.suggests_restored_quote();
        let all = [
            (raised, Oddity::TtlSet { sent, quoted }),
            (in_transit && quoted > 1 && !raised, Oddity::TtlKept { quoted }),
            // No host lowers the TTL of what it takes for itself.
            (!in_transit && self.arrived_at_zero() && self.responder == target, Oddity::TtlZero),
            (in_transit && self.responder == target && !self.routed, Oddity::FromTarget),
            (self.header_checksum == Some(false) && !self.ttl_lowered, Oddity::HeaderChecksum),
            (
                wrong,
                Oddity::Checksum {
                    field: checksum_field.unwrap_or_default(),
                    whole,
                    translated: self.differences.iter().any(|it| fields::is_of_source(it.field)),
                },
            ),
        ];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, oddity)| oddity).collect()
    }

    /// Whether the TTL was 0 when it arrived.
    fn arrived_at_zero(&self) -> bool {
        self.ttl == Some(0) && !self.ttl_lowered
    }

    /// Whether address translation is likely that put back what it changed in the quote, but not the checksum: that was
    /// changed, is not that of what is quoted, and nothing that it covers was changed.
    #[must_use]
    pub fn suggests_restored_quote(&self) -> bool {
        let there = |verdict| [None, Some(Verdict::Wrong)].contains(&verdict);
        there(self.checksum) && self.only_checksum_changed() && !self.routed
    }
}

pub(super) fn of(stages: &[Stage<'_>], habits: &[Habit<'_>], target: IpAddr) -> Vec<Odd> {
    let runs = repeated_routers(stages, target);
    // What is quoted at the later hops of a router that takes off too much follows from that.
    let follows = |ttl: u8, oddity: Oddity| {
        let of_run = match oddity {
            Oddity::TtlKept { .. } => 0,
            Oddity::TtlZeroQuoted { .. } => 1,
            _ => return false,
        };
        runs.iter()
            .any(|(run, _)| run.contains(&ttl) || run.contains(&(ttl.saturating_add(of_run))))
    };
    let shown: Vec<Vec<Vec<Oddity>>> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| {
            let before = index.checked_sub(1).and_then(|before| stages.get(before));
            let of_quote = |quote: &&Comparison| {
                let mut all = quote.oddities(target);
                all.extend(raised_unseen(before, stage, quote, target));
                all.extend(zero(stages, index, quote));
                let own_way = habits.iter().any(|it| std::ptr::eq(it.quote, *quote));
                all.retain(|oddity| !(own_way && *oddity == Oddity::HeaderChecksum));
                all.retain(|oddity| !follows(stage.ttl, *oddity));
                all
            };
            stage.quotes.iter().map(of_quote).collect()
        })
        .collect();
    let mut odd = runs_of_kinds(stages, &shown);
    odd.extend(runs.into_iter().map(|(_, odd)| odd));
    odd.extend(ways_of_quoting(habits));
    odd.sort_by_key(|odd| odd.place.at);
    odd
}

/// Each kind of oddity once for every run of hops that show it.
fn runs_of_kinds(stages: &[Stage<'_>], shown: &[Vec<Vec<Oddity>>]) -> Vec<Odd> {
    let is = |one: &Oddity, other: &Oddity| discriminant(one) == discriminant(other);
    let parting = place::ways_part(stages);
    let mut odd: Vec<Odd> = Vec::new();
    for (index, here) in shown.iter().enumerate() {
        for oddity in here.iter().flatten() {
            let seen = |quotes: &Vec<Vec<Oddity>>| {
                Seen::of(quotes.iter().map(|all| all.iter().any(|other| is(other, oddity))))
            };
            let seen: Vec<_> = shown.iter().take(index + 1).map(seen).collect();
            // Where paths diverge, a hop between that does not show it may be of another path.
            let run_from = if parting { 0 } else { index.saturating_sub(1) };
            let mut earlier = seen.iter().take(index).skip(run_from);
            let told = earlier.any(|seen| *seen != Seen::None);
            let place = place::first(stages, &seen, index).filter(|_| !told);
            let new = |place: &Place| {
                !odd.iter().any(|it| it.place.at == place.at && is(&it.oddity, oddity))
            };
            odd.extend(place.filter(new).map(|place| Odd { place, oddity: *oddity }));
        }
    }
    odd
}

/// What a quote that says that a TTL of 0 ran out is worth. The router that forwarded it does not answer, and the next one,
/// which answers for it, answers again at the next hop, now with a TTL of 1. One that takes its own one off before it
/// quotes answers once.
fn zero(stages: &[Stage<'_>], index: usize, quote: &Comparison) -> Option<Oddity> {
    if !quote.in_transit() || quote.ttl != Some(0) {
        return None;
    }
    if quote.ttl_lowered {
        return Some(Oddity::TtlZeroQuoted { certain: true });
    }
    let unclear = Some(Oddity::TtlZeroQuoted { certain: false });
    let (mut here, mut by) = (stages.get(index)?, vec![quote.responder]);
    for next in stages.iter().skip(index + 1) {
        let follows = here.ttl.checked_add(1) == Some(next.ttl);
        let all_zero = next.quotes.iter().all(|it| it.in_transit() && it.arrived_at_zero());
        let again = next.quotes.iter().any(|it| by.contains(&it.responder));
        match (follows, again, all_zero) {
            (false, ..) | (_, true, true) => return unclear,
            // Of several that quote 0 in a row this is true of the last.
            (_, true, false) if here.ttl == stages.get(index)?.ttl => return Some(Oddity::TtlZero),
            (_, true, false) => return unclear,
            (_, false, false) => return Some(Oddity::TtlZeroQuoted { certain: true }),
            (_, false, true) => by = next.quotes.iter().map(|it| it.responder).collect(),
        }
        here = next;
    }
    unclear
}

/// Each field that a hop quotes in its own way, once.
fn ways_of_quoting(habits: &[Habit<'_>]) -> Vec<Odd> {
    let mut told: Vec<(u8, IpAddr, &str)> = Vec::new();
    let mut odd = Vec::new();
    for it in habits {
        let key = (it.ttl, it.quote.responder, it.field);
        if !told.contains(&key) {
            told.push(key);
            let place = Place { after: it.ttl.checked_sub(1), at: it.ttl, some_paths: false };
            let Habit { field, arrived, quoted, manner, .. } = *it;
            odd.push(Odd { place, oddity: Oddity::Quoting { field, arrived, quoted, manner } });
        }
    }
    odd
}

/// The target quotes a TTL although the hop before is a router at which all of it ran out: unless paths diverge, some of
/// it was put there on the way.
fn raised_unseen(
    before: Option<&Stage<'_>>,
    stage: &Stage<'_>,
    quote: &Comparison,
    target: IpAddr,
) -> Option<Oddity> {
    let before = before.filter(|before| before.ttl.checked_add(1) == Some(stage.ttl))?;
    let router = before.sole_responder().filter(|router| *router != target)?;
    let ran_out = before.quotes.iter().all(|it| it.in_transit() && it.responder == router);
    let all_delivered = stage.quotes.iter().all(|it| !it.in_transit() && it.responder == target);
    let (sent, quoted) = (quote.sent_ttl, quote.ttl?);
    let too_much = sent == stage.ttl && (2..=sent).contains(&quoted);
    (ran_out && all_delivered && too_much).then_some(Oddity::TtlSet { sent, quoted })
}

/// The routers that stand at several hops in a row, with those hops after the first of each. Their replies arrive with
/// one TTL: those of several routers behind a translator do not.
fn repeated_routers(stages: &[Stage<'_>], target: IpAddr) -> Vec<(RangeInclusive<u8>, Odd)> {
    let router = |stage: &Stage<'_>| {
        let first = stage.quotes.first()?;
        let stands = |it: &&Comparison| {
            let alike = (it.responder, it.reply_ttl) == (first.responder, first.reply_ttl);
            alike && it.in_transit() && it.responder != target
        };
        let all = stage.quotes.iter().all(stands);
        all.then_some((first.responder, first.reply_ttl))
    };
    let zero = |stage: &Stage<'_>| stage.quotes.iter().all(|it| it.arrived_at_zero());
    let in_a_row = |one: &Stage<'_>, other: &Stage<'_>| {
        let follows = one.ttl.checked_add(1) == Some(other.ttl);
        // A TTL of 0 that the router before forwarded is reported separately.
        let forwarded = zero(one) && !zero(other);
        follows && router(one).is_some() && router(one) == router(other) && !forwarded
    };
    let runs = stages.chunk_by(in_a_row).filter_map(|run| {
        let (first, after, last) = (run.first()?.ttl, run.get(1)?.ttl, run.last()?.ttl);
        let (router, _) = run.first().and_then(router)?;
        let place = Place { after: Some(first), at: after, some_paths: false };
        let oddity = Oddity::Repeated { router, first, last };
        Some((after..=last, Odd { place, oddity }))
    });
    runs.collect()
}
