//! The replies to one probe. Most probes have one, and to keep that takes no allocation.

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
