//! Annotations on a finished or growing path: what the network says of its addresses elsewhere.
//!
//! Nothing in here feeds back into the tracer: a name changes how a hop is printed, never whether
//! or when it is probed.

pub mod names;
