//! Looking things up elsewhere, as the command line asks for it.
//!
//! Others are asked by a process of its own ([`Resolvers`]), which is started if there is anything to ask. Files are
//! opened while there is a right to, and read when there is none.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use super::complain;
use super::flags::LookupOptions;
use crate::enrich::Annotations;
use crate::enrich::database::{Database, Kind};
use crate::enrich::names::Names;
use crate::privilege::files;
use crate::sandbox::names::Resolvers;

/// The files that are needed, opened while there are privileges to do so; read they are without.
pub struct Files<'a> {
    asn_db: Option<Source<'a>>,
    geo_db: Option<Source<'a>>,
}

/// What they hold.
#[derive(Clone)]
pub struct Databases {
    origins: Option<Arc<Database>>,
    places: Option<Arc<Database>>,
}

struct Source<'a> {
    file: File,
    path: &'a Path,
}

impl LookupOptions {
    /// Opens what is needed.
    pub fn open(&self) -> anyhow::Result<Files<'_>> {
        let [asn_db, geo_db] =
            [&self.asn_db, &self.geo_db].map(|path| path.as_deref().map(Source::open).transpose());
        Ok(Files { asn_db: asn_db?, geo_db: geo_db? })
    }

    /// Starts the process that looks up what others are asked for, if that is anything: names, or origins. Those that it
    /// asks by DNS time out after `wait`.
    pub fn resolvers(&self, names: bool, wait: Duration) -> anyhow::Result<Option<Resolvers>> {
        let asked = names || (self.as_lookup && self.asn_db.is_none());
        Ok(asked.then(|| Resolvers::start(self.resolver, wait, complain)).transpose()?)
    }

    /// Annotations of responders: the names that are `known` or, where that is `None`, those of the shared lookups; and what
    /// else is asked for. Others are asked by `resolvers`, and time out after `wait`.
    pub fn annotations(
        &self,
        known: Option<Names>,
        databases: &Databases,
        resolvers: Option<&Resolvers>,
        wake: impl Fn() + Send + 'static,
        wait: Duration,
    ) -> Annotations {
        let (asked, origins) = resolvers.map(|it| it.lookups(wake, wait)).unzip();
        let names = known.or(asked).unwrap_or_else(|| Names::fixed::<&str>([]));
        let Databases { origins: asn_db, places } = databases.clone();
        let origins = asn_db.map(Database::origins).or(origins.filter(|_| self.as_lookup));
        let places = places.map(Database::places);
        Annotations { origins, places, ..names.into() }
    }
}

impl Files<'_> {
    /// Reads them.
    pub fn read(self) -> anyhow::Result<Databases> {
        let read = |source: Option<Source<'_>>, kind| source.map(|it| it.read(kind)).transpose();
        Ok(Databases {
            origins: read(self.asn_db, Kind::Origins)?,
            places: read(self.geo_db, Kind::Places)?,
        })
    }
}

impl<'a> Source<'a> {
    fn open(path: &'a Path) -> anyhow::Result<Self> {
        match files::read_regular(path) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                bail!("{} is not a file: name a MaxMind DB file", path.display())
            }
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    fn read(self, kind: Kind) -> anyhow::Result<Arc<Database>> {
        let name = self.path.display().to_string();
        Ok(Arc::new(Database::read(self.file, &name, kind)?))
    }
}
