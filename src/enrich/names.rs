//! Reverse names of responders.
//!
//! Invariant: names are hostile input, wherever they come from: only [`sanitize`]d ones are ever stored.

use std::net::IpAddr;
use std::time::Duration;

use super::lookups::Lookups;
pub use super::lookups::{Awaited, DEFAULT_WAIT, Lookup};

/// The longest a domain name can be (RFC 1035 §2.3.4).
const LONGEST: usize = 255;

/// The names of addresses, as far as they are known.
pub type Names = Lookups<IpAddr, String>;

impl Names {
    /// Names that `resolve` looks up, each given up `wait` after it was asked for. `wake` is called, from another
    /// thread, whenever [`poll`](Awaited::poll) has something to take in.
    #[must_use]
    pub fn with_resolver(
        resolve: impl Fn(IpAddr) -> Option<String> + Send + Sync + 'static,
        wake: impl Fn() + Send + Sync + 'static,
        wait: Duration,
    ) -> Self {
        Self::asked(move |address| clean(&resolve(address)?), wake, wait)
    }

    /// Names that were known beforehand: those of a recording or a simulated network. An address
    /// that is not among them has none. Nothing is ever looked up.
    pub fn fixed<N: AsRef<str>>(names: impl IntoIterator<Item = (IpAddr, N)>) -> Self {
        Self::given(names.into_iter().map(|(address, name)| (address, clean(name.as_ref()))))
    }
}

/// The name of an address, as the C library has it (`getnameinfo`), however hostile.
#[must_use]
pub fn by_c_library(address: IpAddr) -> Option<String> {
    dns_lookup::lookup_addr(&address).ok()
}

/// A name that may be shown: sanitised, and really a name. An address as text is none: it is what
/// some resolvers say for want of one, and what a liar would say.
#[must_use]
pub fn clean(name: &str) -> Option<String> {
    (!name.is_empty() && name.parse::<IpAddr>().is_err()).then(|| sanitize(name))
}

/// `name` with everything but ASCII letters, digits, `-`, `_` and `.` replaced by `?`, and cut at
/// 255 characters: safe on a terminal, in a page, and in text that programs read.
#[must_use]
pub fn sanitize(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '?' };
    name.chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn hostile_names_are_defused() {
        for (name, expect) in [
            ("a-b_c.example.net", "a-b_c.example.net"),
            ("evil\x1b[2J\r\n", "evil??2J??"),
            ("x (192.0.2.1)", "x??192.0.2.1?"),
            ("b\u{fc}cher\u{202e}.example", "b?cher?.example"),
            ("<script>&\"'`", "?script?????"),
            ("\0", "?"),
        ] {
            assert_eq!(sanitize(name), expect);
        }
        assert_eq!(sanitize(&"\u{fc}".repeat(999)), "?".repeat(255));
    }

    #[test]
    fn addresses_and_nothing_are_no_names() {
        let names = ["192.0.2.7", "::1", "", "a\tb"].into_iter();
        let names = Names::fixed((0..).map(address).zip(names));
        for last in 0..3 {
            assert_eq!(names.lookup(address(last)), Lookup::Known(None));
        }
        assert_eq!(names.lookup(address(3)), Lookup::Known(Some(&"a?b".to_owned())));
    }

    #[test]
    fn what_is_looked_up_is_cleaned_too() {
        let resolve = |address: IpAddr| Some(format!("name-of-{address}\x07"));
        let mut names = Names::with_resolver(resolve, || {}, Duration::from_hours(1));
        names.request(address(1));
        names.wait_all();
        let name = "name-of-192.0.2.1?".to_owned();
        assert_eq!(names.lookup(address(1)), Lookup::Known(Some(&name)));
    }
}
