//! Whose rights files are opened with: of a set-user-ID program, of one with file capabilities, of one that sudo
//! runs, and of root's own. Attacks on what is root's, by whoever may run rtrace and by whoever can write where root
//! records.

mod limits;
mod namespaces;
mod reading;
pub mod world;
mod writing;
