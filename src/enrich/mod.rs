//! Annotations on a finished or growing path: what is said of its addresses elsewhere.
//!
//! Nothing in here feeds back into the tracer: a name changes how a hop is printed, never whether
//! or when it is probed. Whatever is said comes from strangers: it is made harmless before it is kept.

pub mod lookups;
pub mod names;
