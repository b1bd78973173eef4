//! Which fields were changed on the way, to what, and between which hops.
//!
//! On one path a field may be changed again and again, and back: each step is reported. Where paths diverge, a field that comes
//! back to what it was is one that another path left alone, so each value is reported once, with the hop that shows it first.

use super::checksums::Verdict;
use super::fields::{is_checksum, is_covered};
use super::place::{self, Place, Seen, Stage};
use super::quoting::Habit;
use super::{Comparison, Difference, Value};

/// A change of one field, and between which hops it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The field.
    pub field: &'static str,
    /// Where.
    pub place: Place,
    /// An example of what was sent.
    pub sent: Value,
    /// What it was before: what was sent, or what an earlier change made of it. `None` if that is not known of this
    /// probe.
    pub before: Option<Value>,
    /// What became of it: what was sent, if it was changed back.
    pub quoted: Value,
    /// What the checksum of the quote says.
    pub checksum: Option<Verdict>,
    /// See [`Comparison::suggests_restored_quote`].
    pub suggests_restored_quote: bool,
}

/// What one quote shows of a field.
#[derive(Clone, Copy)]
struct Mark<'a> {
    quote: &'a Comparison,
    /// `None` if it is as it was sent.
    changed: Option<&'a Difference>,
    /// It becomes something else in every probe: what exactly says nothing.
    varies: bool,
}

impl Mark<'_> {
    /// Whether they may be of the same change. Of fields that are another in every probe only that is known that both
    /// were changed; of checksums also by how much, which is the same for the same change of other fields (RFC 1624).
    fn is_like(&self, other: &Mark<'_>) -> bool {
        match (self.changed, other.changed) {
            (None, None) => true,
            (Some(_), Some(_)) if self.varies => true,
            (Some(one), Some(other)) if is_checksum(one.field) => {
                let taken_off = |it: &Difference| it.quoted == Value::Number(0);
                taken_off(one) && taken_off(other) || shift(one) == shift(other)
            }
            (Some(one), Some(other)) => one.quoted == other.quoted || one.sent != other.sent,
            _ => false,
        }
    }
}

/// The difference of a changed checksum, in one's-complement arithmetic.
fn shift(it: &Difference) -> Option<u64> {
    let (Value::Number(sent), Value::Number(quoted)) = (&it.sent, &it.quoted) else { return None };
    Some((quoted + ONES - sent % ONES) % ONES)
}

/// What counts as 0 in one's-complement arithmetic of 16 bits, besides 0.
const ONES: u64 = 0xffff;

/// What the quotes of a hop show of a field; none where none reaches it.
type Marks<'a> = Vec<Mark<'a>>;

/// The changes that these hops show; whether paths may diverge between them.
/// What routers quote in their own way says nothing.
pub(super) fn of(stages: &[Stage<'_>], habits: &[Habit<'_>], parting: bool) -> Vec<Change> {
    let mut fields: Vec<&'static str> = Vec::new();
    let differences = stages.iter().flat_map(|stage| &stage.quotes).flat_map(|it| &it.differences);
    for difference in differences {
        if !fields.contains(&difference.field) {
            fields.push(difference.field);
        }
    }
    let mut changes: Vec<_> =
        fields.iter().flat_map(|field| of_field(stages, field, habits, parting)).collect();
    changes.sort_by_key(|change| change.place.at);
    changes
}

fn of_field(stages: &[Stage<'_>], field: &str, habits: &[Habit<'_>], parting: bool) -> Vec<Change> {
    let all = stages.iter().flat_map(|stage| &stage.quotes);
    let changed = all.filter_map(|quote| mark(quote, field).changed);
    let first_octet = changed.filter_map(|it| Some(it.sent.octets_changed(&it.quoted)?.0)).min();
    // Quotes that end before the first octet that was changed anywhere say nothing.
    let reaches = |quote: &Comparison| {
        let own_way = habits.iter().any(|it| it.is_of(quote, field));
        let reached = first_octet.is_none_or(|first| first < quote.octets);
        quote.compared.contains(&field) && reached && !own_way
    };
    let (stages, mut marks): (Vec<_>, Vec<Marks<'_>>) = stages
        .iter()
        .filter_map(|stage| {
            let quotes = stage.quotes.iter().filter(|quote| reaches(quote));
            let marks: Marks<'_> = quotes.map(|quote| mark(quote, field)).collect();
            (!marks.is_empty()).then(|| (stage.clone(), marks))
        })
        .unzip();
    let varies = varies(&stages, &marks);
    for mark in marks.iter_mut().flatten() {
        mark.varies = varies;
    }
    match steps(&marks) {
        Some(steps) if !(parting && returns(&steps)) => one_after_another(&stages, &steps),
        _ => each_once(&stages, &marks),
    }
}

fn mark<'a>(quote: &'a Comparison, field: &str) -> Mark<'a> {
    let changed = quote.differences.iter().find(|it| it.field == field);
    Mark { quote, changed, varies: false }
}

/// Whether what becomes of a field is another in most probes, also of one router: as ports that a translator picks anew.
fn varies(stages: &[Stage<'_>], marks: &[Marks<'_>]) -> bool {
    let distinct = |marks: &[&Mark<'_>]| {
        let mut distinct: Vec<&Mark<'_>> = Vec::new();
        for mark in marks.iter().filter(|mark| mark.changed.is_some()) {
            if !distinct.iter().any(|other| other.is_like(mark)) {
                distinct.push(mark);
            }
        }
        distinct.len()
    };
    let all: Vec<_> = marks.iter().flatten().filter(|mark| mark.changed.is_some()).collect();
    let of_one = |(stage, marks): (&Stage<'_>, &Marks<'_>)| {
        stage.sole_responder().is_some() && distinct(&marks.iter().collect::<Vec<_>>()) > 1
    };
    stages.iter().zip(marks).any(of_one) && distinct(&all) * 2 > all.len()
}

/// The first mark of every run of hops that show the same, with the hop's index; `None` if the quotes of a hop differ.
fn steps<'a>(marks: &[Marks<'a>]) -> Option<Vec<(usize, Mark<'a>)>> {
    let mut steps: Vec<(usize, Mark<'a>)> = Vec::new();
    for (index, marks) in marks.iter().enumerate() {
        let first = marks.first()?;
        if !marks.iter().all(|mark| mark.is_like(first)) {
            return None;
        }
        if steps.last().is_none_or(|(_, last)| !last.is_like(first)) {
            steps.push((index, *first));
        }
    }
    Some(steps)
}

/// Whether a field comes back to what it was before.
fn returns(steps: &[(usize, Mark<'_>)]) -> bool {
    let mut numbered = steps.iter().enumerate();
    numbered.any(|(at, (_, mark))| steps.iter().take(at).any(|(_, earlier)| earlier.is_like(mark)))
}

fn one_after_another(stages: &[Stage<'_>], steps: &[(usize, Mark<'_>)]) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut earlier: Option<Mark<'_>> = None;
    for (index, mark) in steps {
        let after = index.checked_sub(1).and_then(|before| Some(stages.get(before)?.ttl));
        let at = stages.get(*index).map(|stage| stage.ttl);
        if let Some(at) = at {
            let place = Place { after, at, some_paths: false };
            changes.extend(change(place, earlier.as_ref(), mark));
        }
        earlier = Some(*mark);
    }
    changes
}

fn each_once(stages: &[Stage<'_>], marks: &[Marks<'_>]) -> Vec<Change> {
    let mut told: Vec<Mark<'_>> = Vec::new();
    let mut changes = Vec::new();
    for (index, here) in marks.iter().enumerate() {
        for mark in here.iter().filter(|mark| mark.changed.is_some()) {
            if told.iter().any(|earlier| earlier.is_like(mark)) {
                continue;
            }
            told.push(*mark);
            let seen: Vec<_> = marks
                .iter()
                .map(|marks| Seen::of(marks.iter().map(|other| other.is_like(mark))))
                .collect();
            let place = place::first(stages, &seen, index);
            changes.extend(place.and_then(|place| change(place, None, mark)));
        }
    }
    changes
}

/// The change that a mark shows beside an earlier one; `None` if neither was changed.
fn change(place: Place, earlier: Option<&Mark<'_>>, mark: &Mark<'_>) -> Option<Change> {
    let restored = suggests_restored_quote(earlier, mark);
    let earlier = earlier.and_then(|mark| mark.changed);
    let difference = mark.changed.or(earlier)?;
    let back = mark.changed.is_none();
    let sent = difference.sent.clone();
    let before = match earlier {
        None => Some(sent.clone()),
        Some(earlier) if earlier.sent == sent => Some(earlier.quoted.clone()),
        Some(earlier) if is_checksum(earlier.field) => shifted(earlier, &sent),
        Some(_) => None,
    };
    Some(Change {
        field: difference.field,
        place,
        before,
        quoted: if back { sent.clone() } else { difference.quoted.clone() },
        sent,
        checksum: mark.quote.checksum,
        suggests_restored_quote: restored,
    })
}

/// What an earlier change of a checksum makes of this one.
fn shifted(earlier: &Difference, sent: &Value) -> Option<Value> {
    let Value::Number(sent) = sent else { return None };
    if earlier.quoted == Value::Number(0) {
        return Some(Value::Number(0));
    }
    let sum = (sent + shift(earlier)?) % ONES;
    Some(Value::Number(if sum == 0 { ONES } else { sum }))
}

/// Whether address translation is likely that put back what it changed in the quote, but not the checksum: here, or behind
/// a change that the checksum fits.
fn suggests_restored_quote(earlier: Option<&Mark<'_>>, mark: &Mark<'_>) -> bool {
    let unexplained = |earlier: &Mark<'_>| {
        let covered = |quote: &Comparison| -> Vec<_> {
            let differences = quote.differences.iter().filter(|it| is_covered(it.field));
            differences.map(|it| (it.field, it.quoted.clone())).collect()
        };
        let fitted = earlier.quote.checksum == Some(Verdict::Right);
        let fits_no_more = mark.quote.checksum == Some(Verdict::Wrong);
        fitted && fits_no_more && covered(earlier.quote) == covered(mark.quote)
    };
    let is_checksum = mark.changed.is_some_and(|it| is_checksum(it.field));
    mark.quote.suggests_restored_quote() || is_checksum && earlier.is_some_and(unexplained)
}
