//! Whether a flow that is not answered at a hop goes through a silent router there.
//!
//! Replies are also lost, and routers limit how many they send. So one flow that is answered there is asked as often: only
//! where that is answered every time, and few probes are lost beside answers, does silence tell anything.

use std::collections::BTreeMap;

use crate::trace::path::{Outcome, Probe};
use crate::trace::reply::Reply;

/// How often a flow is asked at a hop where others were answered, before it counts as silent there.
const ATTEMPTS: usize = 3;

/// What is open of a flow at a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// An answer may still come.
    Waiting,
    /// Not answered, and not yet asked often enough.
    Retry,
    /// Silent, but where it comes from is not known.
    Unplaced,
    /// Silent, where this other flow was answered: is that one answered every time?
    Doubtful(u16),
    /// Silent, where others are not answered every time either: the silence tells nothing.
    Unknown,
}

/// What the flows that are answered at a hop say of those that are not: one of them is asked as often.
pub(super) struct Control {
    flow: Option<u16>,
    asked: usize,
    waits: bool,
    /// Silence here tells nothing: that flow was not answered again, or many probes were lost beside answers.
    lossy: bool,
}

impl Control {
    pub(super) fn of(by_flow: &BTreeMap<u16, Vec<&Probe>>) -> Self {
        let answered = by_flow.iter().filter(|(_, it)| it.iter().any(|it| telling(it).is_some()));
        let lost = |probe: &&&Probe| probe.outcome == Outcome::Lost && telling(probe).is_none();
        let beside = answered.clone().flat_map(|(_, probes)| probes);
        let (all, gone) = (beside.clone().count(), beside.filter(lost).count());
        // The first of those that were asked most often.
        let most = answered.max_by_key(|(flow, probes)| (probes.len(), u16::MAX - **flow));
        let probes = most.map_or(&[][..], |(_, probes)| probes);
        Self {
            flow: most.map(|(flow, _)| *flow),
            asked: probes.len(),
            waits: probes.iter().any(|probe| probe.outcome == Outcome::Waiting),
            lossy: probes.iter().filter(lost).count() >= ATTEMPTS - 1 || 4 * gone > all,
        }
    }

    /// The probes that a flow still needs after this number of unanswered ones; none if it really is silent.
    pub(super) fn judge(&self, asked: usize) -> Option<Open> {
        match self.flow {
            _ if self.lossy => Some(Open::Unknown),
            _ if asked < ATTEMPTS => Some(Open::Retry),
            Some(_) if self.waits => Some(Open::Waiting),
            Some(flow) if self.asked < ATTEMPTS => Some(Open::Doubtful(flow)),
            _ => None,
        }
    }
}

/// The reply that tells where a probe got to; a late one is as good as any.
pub(super) fn telling(probe: &Probe) -> Option<&Reply> {
    probe.replies.iter().find(|reply| !reply.kind.is_advice())
}
