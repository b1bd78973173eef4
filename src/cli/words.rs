//! Values and lists as messages show them.

/// A value as a message shows it: one that cannot be seen is in quotes.
pub fn shown(value: &str) -> String {
    if value.trim().is_empty() { format!("'{value}'") } else { value.to_owned() }
}
