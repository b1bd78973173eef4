//! What became of the RTTs of the hops that two traces have in common.
//!
//! A way that takes longer at one place takes longer to all hops beyond it: so it is looked for first from which hop
//! on all RTTs are shifted, in the same direction, by the rank-sum test over these hops together; of all
//! hops it may begin at, the one with the least chance is taken, and that chance is multiplied by their number
//! (Bonferroni). Probes of one run also share how busy the hosts are: a shift of all hops by less than [`NOTABLE_NS`] is not
//! reported. In the rest, each hop is tested by itself.

use serde::Serialize;

use super::ranks::{self, Ranks, Samples};

/// RTTs have shifted if chance alone would part them as far with less than this probability.
pub const SIGNIFICANCE: f64 = 0.01;

/// The least shift in nanoseconds, shared by hops, that counts as one of the path.
pub const NOTABLE_NS: u64 = 50_000;

/// How the RTTs of two traces differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rtts {
    /// Shifts of this and all hops beyond it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Shift>,
    /// Shifts of one hop.
    pub at: Vec<Shift>,
    /// Hops with too few RTTs to tell a shift of that hop alone.
    pub too_few: Vec<u8>,
}

/// A shift.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shift {
    /// The hop, by its TTL now.
    pub ttl: u8,
    /// How many hops were tested together.
    pub hops: usize,
    /// By how much RTTs are longer now, in nanoseconds: the median over the hops of the shift of each.
    pub shift_ns: i64,
    /// How likely chance alone separates them this far.
    pub p: f64,
}

/// What one hop says.
struct Hop {
    ttl: u8,
    ranks: Ranks,
    shift_ns: i64,
    /// Whether this hop alone could show a shift.
    enough: bool,
}

impl Rtts {
    /// Compares the RTTs before and after of each hop, given in order with its TTL.
    #[must_use]
    pub fn compare(hops: &[(u8, Samples<'_>)]) -> Self {
        let hops: Vec<Hop> = hops.iter().filter_map(|hop| Hop::of(*hop)).collect();
        let from = shared(&hops);
        let alone = hops.iter().filter(|hop| from.as_ref().is_none_or(|from| hop.ttl < from.ttl));
        let at = alone.filter_map(|hop| shift(std::slice::from_ref(hop)));
        let at = at.filter(|shift| shift.p < SIGNIFICANCE).collect();
        let few = hops.iter().filter(|hop| !hop.enough);
        Self { from, at, too_few: few.map(|hop| hop.ttl).collect() }
    }
}

impl Hop {
    fn of((ttl, samples): (u8, Samples<'_>)) -> Option<Self> {
        let shift_ns = ranks::shift(samples)?;
        let enough = ranks::least(samples.0.len(), samples.1.len()) < SIGNIFICANCE;
        Some(Self { ttl, ranks: Ranks::of(samples), shift_ns, enough })
    }
}

/// The shift of some hop and all beyond it, if there is one.
fn shared(hops: &[Hop]) -> Option<Shift> {
    let last = hops.last()?.shift_ns.signum();
    let agreeing = hops.iter().rev().take_while(|hop| hop.shift_ns.signum() == last).count();
    let first = hops.len() - agreeing;
    let beginnings = (first..hops.len().saturating_sub(1)).filter_map(|at| shift(hops.get(at..)?));
    let mut found = beginnings.min_by(|one, other| one.p.total_cmp(&other.p))?;
    found.p = (found.p * f64::from(u32::try_from(hops.len()).unwrap_or(u32::MAX))).min(1.0);
    let notable = found.shift_ns.unsigned_abs() >= NOTABLE_NS;
    Some(found).filter(|found| notable && found.p < SIGNIFICANCE)
}

/// The shift of all these hops together.
fn shift(hops: &[Hop]) -> Option<Shift> {
    let ranks: Vec<Ranks> = hops.iter().map(|hop| hop.ranks).collect();
    let shift_ns = ranks::median(hops.iter().map(|hop| hop.shift_ns).collect())?;
    Some(Shift { ttl: hops.first()?.ttl, hops: hops.len(), shift_ns, p: ranks::rank_sum(&ranks)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hops of three RTTs each, 10 apart, shifted by an offset in the second trace.
    fn compared(shifts: &[i64], queries: i64) -> Rtts {
        let hops: Vec<(u8, Vec<i64>, Vec<i64>)> = (1_u8..)
            .zip(shifts)
            .map(|(ttl, shift)| {
                let rtt = |query: i64| i64::from(ttl) * 1000 + query * 10;
                // Unshifted ones lie between each other.
                let after = |query| rtt(query) + shift + if ttl % 2 == 0 { 3 } else { -3 };
                (ttl, (0..queries).map(rtt).collect(), (0..queries).map(after).collect())
            })
            .collect();
        let hops: Vec<_> =
            hops.iter().map(|(ttl, one, two)| (*ttl, (&one[..], &two[..]))).collect();
        Rtts::compare(&hops)
    }

    #[test]
    fn a_shift_that_all_hops_behind_share_is_one() {
        let found = compared(&[0, 0, 500_000, 500_000, 500_000, 500_000], 3);
        let from = found.from.unwrap();
        assert_eq!((from.ttl, from.hops), (3, 4));
        assert!((499_990..=500_010).contains(&from.shift_ns), "{}", from.shift_ns);
        assert!((from.p - 6.0 * 2.0 / 20_f64.powi(4)).abs() < 1e-9, "{}", from.p);
        assert_eq!((found.at, found.too_few), (vec![], vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn a_hop_may_be_slow_by_itself() {
        let found = compared(&[0, 500_000, 0, 0, 0], 5);
        assert_eq!(found.from, None);
        assert_eq!(found.at.iter().map(|it| it.ttl).collect::<Vec<_>>(), [2]);
        assert_eq!(found.too_few, [0; 0]);
        let few = compared(&[0, 500_000, 0, 0, 0], 3);
        assert_eq!((few.from, few.at, few.too_few.len()), (None, vec![], 5));
        assert_eq!(compared(&[40_000; 6], 3).from, None, "a busy host");
        assert_eq!(compared(&[], 3), Rtts::default());
    }
}
