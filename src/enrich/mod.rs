//! Annotations on a finished or growing path: what other sources say about its addresses.
//!
//! Nothing in here feeds back into the tracer: a name changes how a hop is printed, never whether
//! or when it is probed. Whatever is said comes from strangers, be it by DNS or in a file: it is
//! [`Untrusted`], and kept only as far as it is good for what it is to be.

pub mod database;
pub mod dns;
pub mod lookups;
pub mod names;
pub mod origins;
pub mod places;
pub mod pool;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use lookups::PendingLookups;
use names::Names;
use origins::Origins;
use places::Places;

use crate::untrusted::Untrusted;

/// All annotations of a trace, each kind only if requested.
pub struct Annotations {
    /// Their names.
    pub names: Names,
    /// Their autonomous systems.
    pub origins: Option<Origins>,
    /// Where they are.
    pub places: Option<Places>,
    /// The names of the interfaces of the host that probes, by the numbers that frames have.
    pub interfaces: BTreeMap<u32, Untrusted>,
}

impl From<Names> for Annotations {
    fn from(names: Names) -> Self {
        Self { names, origins: None, places: None, interfaces: BTreeMap::new() }
    }
}

impl Annotations {
    /// What could not be had may still come, for runs that are long and report at their end.
    #[must_use]
    pub fn with_retries(self) -> Self {
        let Self { names, origins, .. } = self;
        Self { names: names.with_retries(), origins: origins.map(Origins::with_retries), ..self }
    }

    fn kinds(&self) -> impl Iterator<Item = &dyn PendingLookups<IpAddr>> {
        let origins = self.origins.as_ref().map(|it| it as &dyn PendingLookups<IpAddr>);
        let places = self.places.as_ref().map(|it| it as &dyn PendingLookups<IpAddr>);
        std::iter::once(&self.names as &dyn PendingLookups<IpAddr>).chain(origins).chain(places)
    }

    fn kinds_mut(&mut self) -> impl Iterator<Item = &mut dyn PendingLookups<IpAddr>> {
        let origins = self.origins.as_mut().map(|it| it as &mut dyn PendingLookups<IpAddr>);
        let places = self.places.as_mut().map(|it| it as &mut dyn PendingLookups<IpAddr>);
        std::iter::once(&mut self.names as &mut dyn PendingLookups<IpAddr>)
            .chain(origins)
            .chain(places)
    }
}

impl PendingLookups<IpAddr> for Annotations {
    fn request(&mut self, address: IpAddr) {
        self.kinds_mut().for_each(|kind| kind.request(address));
    }

    fn poll(&mut self) -> bool {
        self.kinds_mut().fold(false, |changed, kind| kind.poll() | changed)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.kinds().filter_map(PendingLookups::next_deadline).min()
    }

    fn wait_all(&mut self) {
        self.kinds_mut().for_each(PendingLookups::wait_all);
    }

    fn give_up(&mut self) {
        self.kinds_mut().for_each(PendingLookups::give_up);
    }
}
