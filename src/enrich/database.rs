//! Databases of addresses in files of the `MaxMind` DB format, by `MaxMind` and by `IPinfo`.
//!
//! The two have the same facts under different keys, which are tables here; what is under another key,
//! or of another type, is not there. A file is read as a whole: afterwards a lookup takes some microseconds
//! and no IO. Its content is as hostile as anything: text is made harmless, and a record that makes no
//! sense is one that could not be looked up.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::origins::{Origin, Origins};
use super::places::{Place, Places};
use crate::untrusted::Untrusted;

/// Where in a record something is, the likelier places first.
type Paths = &'static [&'static [PathElement<'static>]];

use PathElement::Key;

/// One has the number, the other "AS" and the number.
const NUMBER: Paths = &[&[Key("autonomous_system_number")]];
const NUMBER_TEXT: Paths = &[&[Key("asn")]];
const SYSTEM: Paths = &[&[Key("autonomous_system_organization")], &[Key("as_name")]];
/// The code is under "country" in some files, and in others the name there and the code apart.
const COUNTRY: Paths =
    &[&[Key("country"), Key("iso_code")], &[Key("country_code")], &[Key("country")]];
const CITY: Paths = &[&[Key("city"), Key("names"), Key("en")], &[Key("city")]];

/// How many records are looked at to tell whether a database is of the kind that is needed.
const SAMPLE: usize = 1_000;

/// A database that has been read.
pub struct Database {
    reader: Reader<Vec<u8>>,
}

/// What a database is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The numbers of autonomous systems.
    Origins,
    /// Countries and cities.
    Places,
}

/// Why a database is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Io(String, #[source] std::io::Error),
    /// It is not of the format, or damaged.
    #[error("{0} is not a MaxMind DB file, or is damaged: {1}")]
    Format(String, #[source] MaxMindDbError),
    /// It holds something else.
    #[error("{name} is of type \"{}\" and holds no {wanted}", found.shown())]
    Kind {
        /// What the file is called.
        name: String,
        /// What it says of itself.
        found: Untrusted,
        /// What was looked for in it.
        wanted: &'static str,
    },
}

type Record<'a> = LookupResult<'a, Vec<u8>>;

impl Database {
    /// Reads a database that is needed for something; `name` is what errors call it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn read(mut file: impl Read, name: &str, kind: Kind) -> Result<Self, DatabaseError> {
        let mut bytes = Vec::new();
        let read = file.read_to_end(&mut bytes);
        read.map_err(|error| DatabaseError::Io(name.to_owned(), error))?;
        let damaged = |error| DatabaseError::Format(name.to_owned(), error);
        let database = Self { reader: Reader::from_source(bytes).map_err(damaged)? };
        if database.is_of(kind).map_err(damaged)? {
            return Ok(database);
        }
        let wanted = match kind {
            Kind::Origins => "numbers of autonomous systems",
            Kind::Places => "countries or cities",
        };
        let found = &database.reader.metadata().database_type;
        let found = Untrusted::from(found.as_str());
        Err(DatabaseError::Kind { name: name.to_owned(), found, wanted })
    }

    /// Whether any of the first records has what is needed.
    fn is_of(&self, kind: Kind) -> Result<bool, MaxMindDbError> {
        for record in self.reader.networks(WithinOptions::default())?.take(SAMPLE) {
            let record = record?;
            let fits = match kind {
                Kind::Origins => !origin(&record)?.numbers.is_empty(),
                Kind::Places => place(&record)? != Place::default(),
            };
            if fits {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The origins of addresses, as it has them.
    #[must_use]
    pub fn origins(self: Arc<Self>) -> Origins {
        Origins::held(move |address| self.origin(address))
    }

    /// The places of addresses, as it has them.
    #[must_use]
    pub fn places(self: Arc<Self>) -> Places {
        Places::held(move |address| self.place(address))
    }

    /// Who announces an address; `None` if the database is damaged there.
    #[must_use]
    pub fn origin(&self, address: IpAddr) -> Option<Origin> {
        self.look_up(address, origin)
    }

    /// Where an address is; `None` if the database is damaged there.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Option<Place> {
        self.look_up(address, place)
    }

    fn look_up<T: Default>(
        &self,
        address: IpAddr,
        read: impl Fn(&Record<'_>) -> Result<T, MaxMindDbError>,
    ) -> Option<T> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Some(T::default());
        }
        self.reader.lookup(address).and_then(|record| read(&record)).ok()
    }
}

fn origin(record: &Record<'_>) -> Result<Origin, MaxMindDbError> {
    sound(record)?;
    let text = || first::<&str>(record, NUMBER_TEXT)?.strip_prefix("AS")?.parse().ok();
    // As wide as whoever wrote it found it worth.
    let short = || first::<u16>(record, NUMBER).map(u32::from);
    let long = || first::<u64>(record, NUMBER).and_then(|number| number.try_into().ok());
    let number = first(record, NUMBER).or_else(short).or_else(long).or_else(text);
    let name = first(record, SYSTEM).filter(|_| number.is_some()).and_then(prose);
    Ok(Origin { numbers: number.into_iter().collect(), name })
}

fn place(record: &Record<'_>) -> Result<Place, MaxMindDbError> {
    sound(record)?;
    let is_code = |code: &&str| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
    let country = COUNTRY.iter().find_map(|path| at(record, path).filter(is_code));
    Ok(Place { country: country.map(Untrusted::from), city: first(record, CITY).and_then(prose) })
}

fn prose(text: &str) -> Option<Untrusted> {
    Untrusted::from(text).prose()
}

/// Whether the whole record can be read.
fn sound(record: &Record<'_>) -> Result<(), MaxMindDbError> {
    record.decode::<IgnoredAny>().map(drop)
}

/// The value at the first of `paths` that has one.
fn first<'a, T: Deserialize<'a>>(record: &Record<'a>, paths: Paths) -> Option<T> {
    paths.iter().find_map(|path| at(record, path))
}

fn at<'a, T: Deserialize<'a>>(record: &Record<'a>, path: &[PathElement<'_>]) -> Option<T> {
    record.decode_path(path).ok().flatten()
}
