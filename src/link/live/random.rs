//! Random numbers from the kernel, which cannot be predicted (getrandom(2)).

use std::cell::RefCell;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// The first port that needs no privilege.
pub const FIRST_FREE: u16 = 1_024;

/// The number of random numbers that are read at a time: the kernel returns this many octets in one piece
/// (getrandom(2)).
const POOL: usize = 8;

thread_local! {
    static LEFT: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// 64 random bits.
///
/// # Errors
/// The error of the kernel, if it has no random numbers.
pub fn number() -> io::Result<u64> {
    LEFT.with_borrow_mut(|left| {
        if left.is_empty() {
            let mut octets = [[0; 8]; POOL];
            if getrandom(octets.as_flattened_mut(), GetRandomFlags::empty())? < 8 * POOL {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left.extend(octets.map(u64::from_ne_bytes));
        }
        left.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    })
}

/// A random number from `first` to 65535.
///
/// # Errors
/// As [`number`].
pub fn from(first: u16) -> io::Result<u16> {
    let count = u64::from(u16::MAX - first) + 1;
    Ok(u16::try_from(u64::from(first) + number()? % count).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_stay_in_their_range() {
        assert_eq!(from(u16::MAX).unwrap(), u16::MAX);
        let many: Vec<u16> = (0..1_000).map(|_| from(65_000).unwrap()).collect();
        assert!(many.iter().all(|it| *it >= 65_000) && many.iter().any(|it| *it != many[0]));
        let numbers: HashSet<u64> = (0..1_000).map(|_| number().unwrap()).collect();
        assert_eq!(numbers.len(), 1_000);
    }
}
