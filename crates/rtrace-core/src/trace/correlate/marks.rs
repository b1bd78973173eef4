//! By what the round is found that a datagram is about.

use super::super::datagram::Datagram;
use super::super::rewritten::Mark;
use super::Correlator;
use crate::probe::{self, ProbeKey, ProbeType};
use crate::wire::quoted::Quoted;

impl Correlator {
    /// The marks that identify each probe in datagrams, without marks that another probe of this trace shares.
    pub(in super::super) fn marks(&self, strict: bool) -> impl Iterator<Item = Mark> {
        let (flow, probe) = (&self.flow, self.flow.probe);
        let by_origin = !strict || matches!(probe, ProbeType::Protocol(_));
        let origins = self.without_origin.iter().filter(move |(_, at)| by_origin && at.is_some());
        let left = self.without_checksum.iter().filter(|(_, known)| known.is_some());
        let left = left.map(|((key, mark), _)| Mark::Left(*key, *mark));
        let keys = self.exact.keys().map(|key| Mark::Key(key.with_one_zero(flow.protocol())));
        keys.chain(left)
            .chain(origins.map(|(key, _)| Mark::Origin(*key)))
            .chain(self.answers.keys().map(|key| Mark::Answer(*key)))
            .chain(self.rewritten.marks())
    }

    /// The marks of probes of other rounds that a datagram captured at this time may be about.
    ///
    /// Of a mark that the probes of many rounds share one is enough, of the latest: if that is not believed, older ones are less.
    pub(in super::super) fn marks_in(&self, datagram: &Datagram<'_>) -> impl Iterator<Item = Mark> {
        let answer = probe::answer(&self.flow, &datagram.header, datagram.payload);
        let quoted = datagram.quote.as_ref().map(|quote| self.marks_quoted(quote));
        let answer = answer.map(|answer| Mark::Answer(answer.key));
        answer.into_iter().chain(quoted.into_iter().flatten().flatten())
    }

    fn marks_quoted(&self, quote: &Quoted<'_>) -> [Option<Mark>; 5] {
        let (header, protocol) = (&quote.header, self.flow.protocol());
        let key = ProbeKey::of(header, quote.payload);
        let Some(key) = key.filter(|_| header.protocol == protocol) else { return [None; 5] };
        let to_target = header.destination == self.flow.target;
        let as_sent = to_target && header.source == self.flow.source;
        let (left, mark) = self.left(&key, quote.payload);
        let [head, id] = self.rewritten.marks_quoted(header, &key);
        [
            as_sent.then(|| Mark::Key(key.with_one_zero(protocol))),
            as_sent.then_some(Mark::Left(left, mark)),
            to_target.then(|| Mark::Origin(key.without_origin(protocol))),
            Some(head),
            Some(id),
        ]
    }
}
