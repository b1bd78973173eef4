//! What is not as it should be in quotes though no field that is compared was changed: TTLs, checksums, senders.
//!
//! A router takes one off the TTL and says that it ran out at 0, quoting what it received: so time exceeded quotes a TTL of
//! 1 (RFC 1812 §5.3.1). Of a probe that was delivered the TTL sent less the TTL quoted says how far it came.

use std::mem::discriminant;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::Comparison;
use super::checksums::Verdict;
use super::place::{self, Place, Seen, Stage};

/// Something odd about a quote, or about the quotes of several hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// A TTL of 0 arrived: the router before forwards what it should not.
    TtlZero,
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
    },
}

/// An oddity, and where it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let Self { ttl: quoted, sent_ttl: sent, whole, in_transit, checksum_field, .. } = *self;
        let raised = quoted > sent;
        let wrong = self.checksum == Some(Verdict::Wrong) && !self.suggests_restored_quote();
        let all = [
            (raised, Oddity::TtlSet { sent, quoted }),
            (in_transit && quoted > 1 && !raised, Oddity::TtlKept { quoted }),
            (in_transit && quoted == 0, Oddity::TtlZero),
            (in_transit && self.responder == target, Oddity::FromTarget),
            (self.header_checksum == Some(false), Oddity::HeaderChecksum),
            (wrong, Oddity::Checksum { field: checksum_field.unwrap_or_default(), whole }),
        ];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, oddity)| oddity).collect()
    }

    /// Whether address translation is likely that put back what it changed in the quote, but not the checksum: that was
    /// changed, is not that of what is quoted, and nothing that it covers was changed.
    #[must_use]
    pub fn suggests_restored_quote(&self) -> bool {
        let there = |verdict| [None, Some(Verdict::Wrong)].contains(&verdict);
        self.responder.is_ipv4() && there(self.checksum) && self.only_checksum_changed()
    }
}

pub(super) fn of(stages: &[Stage<'_>], target: IpAddr) -> Vec<Odd> {
    let runs = repeated_routers(stages, target);
    // What is quoted at the later hops of a router that takes off too much follows from that.
    let follows = |ttl: u8, oddity: Oddity| {
        let kept = matches!(oddity, Oddity::TtlKept { .. });
        kept && runs.iter().any(|(run, _)| run.contains(&ttl))
    };
    let shown: Vec<Vec<Vec<Oddity>>> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| {
            let before = index.checked_sub(1).and_then(|before| stages.get(before));
            let of_quote = |quote: &&Comparison| {
                let mut all = quote.oddities(target);
                all.extend(raised_unseen(before, stage, quote, target));
                all.retain(|oddity| !follows(stage.ttl, *oddity));
                all
            };
            stage.quotes.iter().map(of_quote).collect()
        })
        .collect();
    let mut odd = runs_of_kinds(stages, &shown);
    odd.extend(runs.into_iter().map(|(_, odd)| odd));
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
            // Where ways part, a hop between that does not show it may be of another way.
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

/// The target quotes a TTL although the hop before is a router at which all of it ran out: unless ways part, some of
/// it was put there on the way.
fn raised_unseen(
    before: Option<&Stage<'_>>,
    stage: &Stage<'_>,
    quote: &Comparison,
    target: IpAddr,
) -> Option<Oddity> {
    let before = before.filter(|before| before.ttl.checked_add(1) == Some(stage.ttl))?;
    let router = before.sole_responder().filter(|router| *router != target)?;
    let ran_out = before.quotes.iter().all(|it| it.in_transit && it.responder == router);
    let all_delivered = stage.quotes.iter().all(|it| !it.in_transit && it.responder == target);
    let Comparison { sent_ttl: sent, ttl: quoted, .. } = *quote;
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
            alike && it.in_transit && it.responder != target
        };
        // A TTL of 0 was forwarded by the router before, which is told by itself.
        let lowered = first.ttl > 0;
        let all = stage.quotes.iter().all(stands) && lowered;
        all.then_some((first.responder, first.reply_ttl))
    };
    let in_a_row = |one: &Stage<'_>, other: &Stage<'_>| {
        let follows = one.ttl.checked_add(1) == Some(other.ttl);
        follows && router(one).is_some() && router(one) == router(other)
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
