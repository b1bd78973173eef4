//! The replies to one probe. Most probes have one, and to keep that takes no allocation. And the answers to it that are not
//! believed, of which nearly no probe has any.

use std::ops::Deref;
use std::slice;

use super::reply::Reply;

/// The replies to one probe, in order of capture: a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies(Kept);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Kept {
    #[default]
    None,
    One(Reply),
    More(Vec<Reply>),
}

impl Replies {
    pub(super) fn push(&mut self, reply: Reply) {
        self.0 = match std::mem::take(&mut self.0) {
            Kept::None => Kept::One(reply),
            Kept::One(first) => Kept::More(vec![first, reply]),
            Kept::More(mut replies) => {
                replies.push(reply);
                Kept::More(replies)
            }
        };
    }

    /// Takes out those of which this holds.
    pub(super) fn take(&mut self, such: impl Fn(&Reply) -> bool) -> Vec<Reply> {
        let all: Vec<Reply> = match std::mem::take(&mut self.0) {
            Kept::None => Vec::new(),
            Kept::One(reply) => vec![reply],
            Kept::More(replies) => replies,
        };
        let (taken, left): (Vec<_>, Vec<_>) = all.into_iter().partition(such);
        for reply in left {
            self.push(reply);
        }
        taken
    }
}

impl Deref for Replies {
    type Target = [Reply];

    fn deref(&self) -> &[Reply] {
        match &self.0 {
            Kept::None => &[],
            Kept::One(reply) => slice::from_ref(reply),
            Kept::More(replies) => replies,
        }
    }
}

impl<'a> IntoIterator for &'a Replies {
    type Item = &'a Reply;
    type IntoIter = slice::Iter<'a, Reply>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Reply> for Replies {
    fn from_iter<I: IntoIterator<Item = Reply>>(replies: I) -> Self {
        let mut kept = Self::default();
        replies.into_iter().for_each(|reply| kept.push(reply));
        kept
    }
}

/// Answers to one probe that are not believed, in order of capture: a slice of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contradicted(Option<Box<Few>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Few {
    kept: Vec<Reply>,
    dropped: u64,
}

impl Contradicted {
    /// Adds one, if there are not `most` of them. Gives its index if it is kept.
    pub(super) fn add(&mut self, reply: Reply, most: usize) -> Option<usize> {
        let few = self.0.get_or_insert_default();
        let index = few.kept.len();
        if index < most {
            few.kept.push(reply);
            return Some(index);
        }
        few.dropped += 1;
        None
    }

    /// Takes out those in time, and tells how many more there were.
    pub(super) fn take_in_time(&mut self) -> (Vec<Reply>, u64) {
        let Some(few) = self.0.take() else { return (Vec::new(), 0) };
        let (late, in_time): (Vec<_>, Vec<_>) = few.kept.into_iter().partition(|it| it.late);
        if !late.is_empty() {
            self.0 = Some(Box::new(Few { kept: late, dropped: 0 }));
        }
        (in_time, few.dropped)
    }

    /// How many more there were.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |few| few.dropped)
    }
}

impl Deref for Contradicted {
    type Target = [Reply];

    fn deref(&self) -> &[Reply] {
        self.0.as_ref().map_or(&[], |few| &few.kept)
    }
}
