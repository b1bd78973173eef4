//! Reverse names of responders.
//!
//! Invariant: names are hostile input, wherever they come from: only what passes [`Untrusted::host_name`] is ever stored.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::lookups::Lookups;
pub use super::lookups::{DEFAULT_WAIT, Lookup, PendingLookups};
use crate::untrusted::Untrusted;

/// The names of addresses, as far as they are known.
pub type Names = Lookups<IpAddr, Untrusted>;

impl Names {
    /// Names that `resolve` looks up, each of which times out `wait` after it was asked for. `wake` is called, from another
    /// thread, whenever [`poll`](PendingLookups::poll) has something to take in.
    #[must_use]
    pub fn with_resolver(
        resolve: impl Fn(IpAddr) -> Option<String> + Send + Sync + 'static,
        wake: impl Fn() + Send + Sync + 'static,
        wait: Duration,
    ) -> Self {
        Self::asked(move |address| Untrusted::from(resolve(address)?).host_name(), wake, wait)
    }

    /// Names that were known beforehand: those of a recording or a simulated network. An address
    /// that is not among them has none. Nothing is ever looked up.
    pub fn fixed<N: Into<Untrusted>>(names: impl IntoIterator<Item = (IpAddr, N)>) -> Self {
        Self::given(names.into_iter().map(|(address, name)| (address, name.into().host_name())))
    }
}

/// Names given beforehand, for several to have: as [`Names::fixed`] takes them in.
pub type Given = Arc<HashMap<IpAddr, Option<Untrusted>>>;

/// The name of an address, as the C library has it (`getnameinfo`), however hostile.
#[must_use]
pub fn by_c_library(address: IpAddr) -> Option<String> {
    dns_lookup::lookup_addr(&address).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn addresses_and_nothing_are_no_names() {
        let names = ["192.0.2.7", "::1", "", "a\tb"].into_iter();
        let names = Names::fixed((0..).map(address).zip(names));
        for last in 0..3 {
            assert_eq!(names.lookup(address(last)), Lookup::Known(None));
        }
        assert_eq!(names.lookup(address(3)), Lookup::Known(Some(&"a?b".into())));
    }

    #[test]
    fn what_is_looked_up_is_cleaned_too() {
        let resolve = |address: IpAddr| Some(format!("name-of-{address}\x07"));
        let mut names = Names::with_resolver(resolve, || {}, Duration::from_hours(1));
        names.request(address(1));
        names.wait_all();
        let name = "name-of-192.0.2.1?".into();
        assert_eq!(names.lookup(address(1)), Lookup::Known(Some(&name)));
    }
}
