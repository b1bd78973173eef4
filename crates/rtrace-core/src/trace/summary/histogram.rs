//! A histogram whose buckets are within one percent of the values that they hold.
//!
//! Bounds and buckets are those of an HDR histogram (Gil Tene) from 1 to [`LONGEST`] with two digits. But only
//! buckets that hold something take memory, a few octets each, since the round-trip times of a path fall into few
//! buckets. The tests compare each answer with the crate `hdrhistogram`.

/// The longest RTT that is distinguished, in units: ten minutes. Longer ones count as this one.
pub(super) const LONGEST: u64 = 600 * 1_000_000_000 / super::UNIT.unsigned_abs();
/// Values of up to this number of bits have a bucket each: enough for two digits. Of every further bit, half as many.
const EXACT: u32 = 8;
const HALF: u32 = 1 << (EXACT - 1);
/// The last bucket. Values beyond it are counted in that of [`LONGEST`].
const LAST: u32 = (LONGEST.ilog2() + 1 - EXACT + 2) * HALF - 1;

/// Counts of values.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// The buckets that are not empty, in order.
    buckets: Vec<Bucket>,
}

/// A bucket of six octets: two halves of a count need no alignment to four.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    index: u16,
    /// The count, high half first.
    count: [u16; 2],
}

impl Bucket {
    fn count(self) -> u32 {
        let [high, low] = self.count.map(u32::from);
        high << 16 | low
    }

    fn add(&mut self) {
        let [high, low] = &mut self.count;
        if *low < u16::MAX {
            *low += 1;
        } else if *high < u16::MAX {
            (*high, *low) = (*high + 1, 0);
        }
    }
}

impl Histogram {
    /// Counts one more value.
    pub(super) fn add(&mut self, value: u64) {
        let index = index(value);
        match self.buckets.binary_search_by_key(&index, |bucket| bucket.index) {
            Ok(at) => {
                if let Some(bucket) = self.buckets.get_mut(at) {
                    bucket.add();
                }
            }
            Err(at) => self.buckets.insert(at, Bucket { index, count: [0, 1] }),
        }
    }

    /// The largest value of the bucket that this share (from 0 to 1) of all `total` values does not exceed. A share
    /// of 0 stands for the smallest value.
    pub(super) fn quantile(&self, share: f64, total: u64) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let place = (share.min(1.0) * total as f64).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let place = (place as u64).max(1);
        let mut passed = 0;
        let found = self.buckets.iter().find(|bucket| {
            passed += u64::from(bucket.count());
            passed >= place
        });
        found.map_or(0, |bucket| {
            let (lowest, highest) = bounds(bucket.index);
            if share == 0.0 { lowest } else { highest }
        })
    }
}

/// The bucket of a value.
fn index(value: u64) -> u16 {
    let shift = (value | 0xff).ilog2() + 1 - EXACT;
    let found = u64::from(shift * HALF) + (value >> shift);
    if found > LAST.into() { index(LONGEST) } else { u16::try_from(found).unwrap_or(u16::MAX) }
}

/// The smallest and the largest value of a bucket.
fn bounds(index: u16) -> (u64, u64) {
    let index = u32::from(index);
    let shift = (index / HALF).saturating_sub(1);
    let lowest = u64::from(index - shift * HALF) << shift;
    (lowest, lowest + (1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(values: &[u64], shares: &[f64]) {
        let mut ours = Histogram::default();
        let mut theirs = hdrhistogram::Histogram::<u32>::new_with_bounds(1, LONGEST, 2).unwrap();
        for value in values {
            ours.add(*value);
            theirs.saturating_record(*value);
        }
        for share in shares {
            let found = ours.quantile(*share, values.len() as u64);
            assert_eq!(found, theirs.value_at_quantile(*share), "{share} of {values:?}");
        }
    }

    const SHARES: [f64; 11] =
        [0.0, f64::MIN_POSITIVE, 0.1, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0, 2.0];

    proptest! {
        #[test]
        fn quantiles_are_those_of_an_hdr_histogram(
            values in prop::collection::vec(
                prop_oneof![0..300_u64, 0..100_000_u64, 0..=LONGEST + 9, any::<u64>()],
                0..300,
            ),
            share in 0.0..=1.0,
        ) {
            same(&values, &SHARES);
            same(&values, &[share]);
        }
    }

    /// This also holds on either side of each bound of its buckets.
    #[test]
    fn each_bucket_is_one_of_an_hdr_histogram() {
        for shift in 0..64 {
            for middle in [1_u64, 3, 127, 128, 129, 255] {
                let Some(value) = middle.checked_shl(shift).filter(|it| it >> shift == middle)
                else {
                    continue;
                };
                for value in [value.saturating_sub(1), value, value.saturating_add(1)] {
                    same(&[value], &SHARES);
                }
            }
        }
        let around = LONGEST.next_power_of_two();
        for value in [LONGEST - 1, LONGEST, LONGEST + 1, around - 1, around, around + 1, u64::MAX] {
            same(&[value, value / 2], &SHARES);
        }
        same(&vec![5; 70_000], &SHARES);
        same(&[], &[0.5]);
    }
}
