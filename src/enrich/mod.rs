//! Annotations on a finished or growing path: what is said of its addresses elsewhere.
//!
//! Nothing in here feeds back into the tracer: a name changes how a hop is printed, never whether
//! or when it is probed. Whatever is said comes from strangers, be it by DNS or in a file: it is made
//! harmless before it is kept.

pub mod database;
pub mod dns;
pub mod lookups;
pub mod names;
pub mod origins;
pub mod places;
pub mod pool;

use std::net::IpAddr;
use std::time::Instant;

use lookups::Awaited;
use names::Names;
use origins::Origins;
use places::Places;

/// All that is said of the responders of a trace, each kind only if it is asked for.
pub struct Annotations {
    /// Their names.
    pub names: Names,
    /// Their autonomous systems.
    pub origins: Option<Origins>,
    /// Where they are.
    pub places: Option<Places>,
}

impl From<Names> for Annotations {
    fn from(names: Names) -> Self {
        Self { names, origins: None, places: None }
    }
}

impl Annotations {
    /// What could not be had may still come, for runs that are long and report at their end.
    #[must_use]
    pub fn asking_again(self) -> Self {
        let Self { names, origins, places } = self;
        Self { names: names.asking_again(), origins: origins.map(Origins::asking_again), places }
    }

    fn kinds(&self) -> impl Iterator<Item = &dyn Awaited<IpAddr>> {
        let origins = self.origins.as_ref().map(|it| it as &dyn Awaited<IpAddr>);
        let places = self.places.as_ref().map(|it| it as &dyn Awaited<IpAddr>);
        std::iter::once(&self.names as &dyn Awaited<IpAddr>).chain(origins).chain(places)
    }

    fn kinds_mut(&mut self) -> impl Iterator<Item = &mut dyn Awaited<IpAddr>> {
        let origins = self.origins.as_mut().map(|it| it as &mut dyn Awaited<IpAddr>);
        let places = self.places.as_mut().map(|it| it as &mut dyn Awaited<IpAddr>);
        std::iter::once(&mut self.names as &mut dyn Awaited<IpAddr>).chain(origins).chain(places)
    }
}

impl Awaited<IpAddr> for Annotations {
    fn request(&mut self, address: IpAddr) {
        self.kinds_mut().for_each(|kind| kind.request(address));
    }

    fn poll(&mut self) {
        self.kinds_mut().for_each(Awaited::poll);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.kinds().filter_map(Awaited::next_deadline).min()
    }

    fn wait_all(&mut self) {
        self.kinds_mut().for_each(Awaited::wait_all);
    }

    fn give_up(&mut self) {
        self.kinds_mut().for_each(Awaited::give_up);
    }
}

/// The longest text that is kept.
const LONGEST: usize = 255;

/// Text in a human language that may be shown: letters and digits of any script, blanks and such
/// punctuation as names of companies and cities have; anything else becomes `?`, and what is longer than
/// 255 characters is cut off. `None` if nothing is left to show.
pub(crate) fn harmless(text: &str) -> Option<String> {
    let plain = |c: char| c.is_alphanumeric() || " -_.,&'()/+@*:#!".contains(c);
    let text: String =
        text.trim().chars().take(LONGEST).map(|c| if plain(c) { c } else { '?' }).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn hostile_text_is_defused() {
        for (text, expected) in [
            ("AT&T Corp., US", Some("AT&T Corp., US")),
            ("  S\u{e3}o Paulo ", Some("S\u{e3}o Paulo")),
            ("\x1b[2J\r\n<b>\u{202e}\"", Some("??2J???b???")),
            (" \t\n", None),
            ("", None),
        ] {
            assert_eq!(harmless(text).as_deref(), expected);
        }
        assert_eq!(harmless(&"\0".repeat(999)), Some("?".repeat(255)));
    }
}
