//! What a run and the process that looks up names say to each other: one message a question, one an answer.
//!
//! Either may have been taken over by what it read. So a message is of bounded length, reading it is total, and what
//! it holds is made harmless like any text from outside. An answer repeats the question: whoever reads it keeps
//! no list of what is open, and one that nobody asked for is about a key that nobody wants to know of.
//!
//! - question: asker (1), kind (1), key (the rest)
//! - answer: asker (1), kind (1), length of the key (1), key, and 0, or 1 and the value, or 2 and why there is none

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::enrich::origins::{MOST_NUMBERS, Origin};
use crate::untrusted::Untrusted;

/// No message is longer, in bytes.
pub(super) const LONGEST: usize = 2_048;
/// The longest name or text, in bytes, and the most addresses of a host.
const LONGEST_TEXT: usize = 255;
const MOST_ADDRESSES: usize = 64;

/// Something to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The name of an address.
    Name(IpAddr),
    /// Who announces an address.
    Origin(IpAddr),
    /// What an autonomous system is called.
    System(u32),
    /// The addresses of a host.
    Host(String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Name(IpAddr, Option<Untrusted>),
    Origin(IpAddr, Option<Origin>),
    System(u32, Option<Untrusted>),
    /// Its addresses, or the resolver's reason.
    Host(Result<Vec<IpAddr>, Untrusted>),
    /// There are no answers: the process could not be confined, for this reason.
    Unconfined(Untrusted),
}

/// The kind of an answer to no question.
const UNCONFINED: u8 = 4;
/// The state of an answer that has a reason instead of a value.
const REASON: u8 = 2;

impl Question {
    fn kind(&self) -> u8 {
        match self {
            Self::Name(_) => 0,
            Self::Origin(_) => 1,
            Self::System(_) => 2,
            Self::Host(_) => 3,
        }
    }

    fn key(&self) -> Vec<u8> {
        match self {
            Self::Name(address) | Self::Origin(address) => octets(*address),
            Self::System(number) => number.to_be_bytes().to_vec(),
            Self::Host(name) => cut(name).as_bytes().to_vec(),
        }
    }

    fn of(kind: u8, key: &[u8]) -> Option<Self> {
        match kind {
            0 => address(key).map(Self::Name),
            1 => address(key).map(Self::Origin),
            2 => key.try_into().ok().map(|number| Self::System(u32::from_be_bytes(number))),
            3 => {
                let name = str::from_utf8(key).ok().filter(|name| name.len() <= LONGEST_TEXT)?;
                Some(Self::Host(name.to_owned()))
            }
            _ => None,
        }
    }

    /// The message by which this asker asks it.
    pub(super) fn encode(&self, asker: u8) -> Vec<u8> {
        [&[asker, self.kind()], self.key().as_slice()].concat()
    }

    /// Who asks what, if this is a question.
    pub(super) fn decode(message: &[u8]) -> Option<(u8, Self)> {
        let (&[asker, kind], key) = message.split_first_chunk()?;
        Some((asker, Self::of(kind, key)?))
    }
}

impl Answer {
    /// The message by which this asker is answered.
    pub(super) fn encode(&self, asker: u8) -> Vec<u8> {
        let text = |text: &Option<Untrusted>| {
            text.as_ref().map(|text| cut(&text.shown()).as_bytes().to_vec())
        };
        let (question, value) = match self {
            Self::Name(address, name) => (Question::Name(*address), Ok(text(name))),
            Self::System(number, name) => (Question::System(*number), Ok(text(name))),
            Self::Origin(address, origin) => {
                let numbers = origin.as_ref().map(|origin| {
                    let numbers = origin.numbers.iter().take(MOST_NUMBERS);
                    numbers.flat_map(|number| number.to_be_bytes()).collect()
                });
                (Question::Origin(*address), Ok(numbers))
            }
            Self::Host(Ok(addresses)) => {
                let listed = addresses.iter().take(MOST_ADDRESSES).flat_map(|address| {
                    let octets = octets(*address);
                    u8::try_from(octets.len()).into_iter().chain(octets)
                });
                (Question::Host(String::new()), Ok(Some(listed.collect())))
            }
            Self::Unconfined(reason) => {
                return [&[asker, UNCONFINED, 0, REASON], cut(&reason.shown()).as_bytes()].concat();
            }
            Self::Host(Err(reason)) => {
                (Question::Host(String::new()), Err(cut(&reason.shown()).as_bytes().to_vec()))
            }
        };
        let key = question.key();
        let length = u8::try_from(key.len()).unwrap_or(u8::MAX);
        let (state, value): (u8, Vec<u8>) = match value {
            Ok(None) => (0, Vec::new()),
            Ok(Some(value)) => (1, value),
            Err(reason) => (REASON, reason),
        };
        [&[asker, question.kind(), length], key.as_slice(), &[state], &value].concat()
    }

    /// Who is answered what, if this is an answer.
    pub(super) fn decode(message: &[u8]) -> Option<(u8, Self)> {
        let (&[asker, kind, length], rest) = message.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(length.into())?;
        let (state, value) = rest.split_first()?;
        let text = || str::from_utf8(value).ok().filter(|text| text.len() <= LONGEST_TEXT);
        let text = || text().map(Untrusted::from);
        let there = *state == 1;
        // A sentence, of which no more is left out than what is not harmless.
        let reason = || text().map(|reason| Untrusted::from(reason.shown()));
        let reason = || reason().filter(|reason| *reason != *"");
        if kind == UNCONFINED {
            return Some((asker, Self::Unconfined(reason()?)));
        }
        let answer = match Question::of(kind, key)? {
            Question::Name(address) => {
                Self::Name(address, text().filter(|_| there).and_then(|name| name.host_name()))
            }
            Question::System(number) => {
                Self::System(number, text().filter(|_| there).and_then(|name| name.prose()))
            }
            Question::Origin(address) => {
                Self::Origin(address, there.then(|| numbers(value)).flatten())
            }
            Question::Host(_) if there => Self::Host(Ok(addresses(value)?)),
            Question::Host(_) => Self::Host(Err(reason().unwrap_or_else(|| "no answer".into()))),
        };
        Some((asker, answer))
    }
}

fn numbers(value: &[u8]) -> Option<Origin> {
    let (numbers, rest) = value.as_chunks();
    let numbers: Vec<_> = numbers.iter().map(|number| u32::from_be_bytes(*number)).collect();
    let fits = rest.is_empty() && numbers.len() <= MOST_NUMBERS;
    fits.then_some(Origin { numbers, name: None })
}

fn addresses(mut value: &[u8]) -> Option<Vec<IpAddr>> {
    let mut found = Vec::new();
    while let Some((length, rest)) = value.split_first() {
        let (octets, rest) = rest.split_at_checked(usize::from(*length))?;
        found.push(address(octets)?);
        value = rest;
    }
    (found.len() <= MOST_ADDRESSES).then_some(found)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || octets.try_into().ok().map(|octets: [u8; 4]| Ipv4Addr::from(octets).into());
    let v6 = || octets.try_into().ok().map(|octets: [u8; 16]| Ipv6Addr::from(octets).into());
    v4().or_else(v6)
}

/// The beginning of a text that fits a message.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![any::<Ipv4Addr>().prop_map(IpAddr::V4), any::<Ipv6Addr>().prop_map(IpAddr::V6)]
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        let name = proptest::option::of("[a-zA-Z][a-zA-Z0-9.-]{0,250}");
        let origin = proptest::collection::vec(any::<u32>(), 0..=MOST_NUMBERS);
        let origin = origin.prop_map(|numbers| Origin { numbers, name: None });
        let found = proptest::collection::vec(any_address(), 0..=MOST_ADDRESSES);
        prop_oneof![
            (any_address(), name.clone())
                .prop_map(|(key, name)| Answer::Name(key, name.map(Into::into))),
            (any::<u32>(), name).prop_map(|(key, name)| Answer::System(key, name.map(Into::into))),
            (any_address(), proptest::option::of(origin))
                .prop_map(|(key, origin)| Answer::Origin(key, origin)),
            found.prop_map(|found| Answer::Host(Ok(found))),
            "[a-z][a-z ]{0,100}[a-z]".prop_map(|reason| Answer::Host(Err(reason.into()))),
            "[a-z][a-z ]{0,100}[a-z]".prop_map(|reason| Answer::Unconfined(reason.into())),
        ]
    }

    proptest! {
        #[test]
        fn questions_arrive_as_they_were_asked(asker: u8, address in any_address(), number: u32, name in ".{0,60}") {
            let host = Question::Host(name);
            for question in [Question::Name(address), Question::Origin(address), Question::System(number), host] {
                let message = question.encode(asker);
                prop_assert!(message.len() < LONGEST);
                prop_assert_eq!(Question::decode(&message), Some((asker, question)));
            }
        }

        #[test]
        fn answers_arrive_as_they_were_given(asker: u8, answer in any_answer()) {
            let message = answer.encode(asker);
            prop_assert!(message.len() < LONGEST);
            prop_assert_eq!(Answer::decode(&message), Some((asker, answer)));
        }

        /// Whatever comes, nothing that is shown can do harm, and nothing is longer than it may be.
        #[test]
        fn hostile_messages_are_refused_or_harmless(kind in 0_u8..5, rest in proptest::collection::vec(any::<u8>(), 0..LONGEST)) {
            let message = [&[7, kind], rest.as_slice()].concat();
            let _ = Question::decode(&message);
            let Some((_, answer)) = Answer::decode(&message) else { return Ok(()) };
            let text = match answer {
                Answer::Name(_, text) | Answer::System(_, text) => text,
                Answer::Host(Err(reason)) | Answer::Unconfined(reason) => Some(reason),
                Answer::Host(Ok(found)) => {
                    prop_assert!(found.len() <= MOST_ADDRESSES);
                    None
                }
                Answer::Origin(_, origin) => {
                    prop_assert!(origin.is_none_or(|origin| origin.numbers.len() <= MOST_NUMBERS));
                    None
                }
            };
            let text = text.unwrap_or_default().shown();
            prop_assert!(text.len() <= 4 * LONGEST_TEXT && !text.chars().any(char::is_control), "{:?}", text);
        }
    }

    /// `SandboxError` and the resolver write commands in backquotes, and more.
    #[test]
    fn reasons_arrive_as_they_were_said() {
        let reason = "`dig x` says \"no\" [1]; 100% <lost> | {a} ~ $HOME = \\ ^";
        for answer in [Answer::Unconfined(reason.into()), Answer::Host(Err(reason.into()))] {
            assert_eq!(Answer::decode(&answer.encode(3)), Some((3, answer)));
        }
        let hostile = Answer::Host(Err("a\x1b[2Jb".into()));
        let (_, Answer::Host(Err(shown))) = Answer::decode(&hostile.encode(0)).unwrap() else {
            panic!("not a reason")
        };
        assert_eq!(shown.shown(), "a?[2Jb");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_never_a_name_of_another_kind() {
        let long = Answer::Name([192, 0, 2, 1].into(), Some("n".repeat(999).into()));
        let (_, Answer::Name(_, Some(name))) = Answer::decode(&long.encode(0)).unwrap() else {
            panic!("not a name")
        };
        assert_eq!(name.shown().len(), LONGEST_TEXT);
        // An address is no name, and an escape sequence is defused.
        for (text, shown) in [("192.0.2.9", None), ("a\x1b[2Jb", Some("a??2Jb"))] {
            let answer = Answer::Name([192, 0, 2, 1].into(), Some(text.into()));
            let (_, decoded) = Answer::decode(&answer.encode(0)).unwrap();
            assert_eq!(decoded, Answer::Name([192, 0, 2, 1].into(), shown.map(Into::into)));
        }
    }
}
