//! Random numbers from the kernel, which nobody can foresee (getrandom(2)).

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// 64 random bits.
///
/// # Errors
/// The kernel's reason, if it has none to give.
pub fn number() -> io::Result<u64> {
    let mut octets = [0; 8];
    // As few as these are all there at once (getrandom(2)).
    let there = getrandom(&mut octets, GetRandomFlags::empty())?;
    if there < octets.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(u64::from_ne_bytes(octets))
}

/// A random number from `first` to 65535.
///
/// # Errors
/// As [`number`].
pub fn from(first: u16) -> io::Result<u16> {
    let numbers = u64::from(u16::MAX - first) + 1;
    Ok(u16::try_from(u64::from(first) + number()? % numbers).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range() {
        assert_eq!(from(u16::MAX).unwrap(), u16::MAX);
        let many: Vec<u16> = (0..1_000).map(|_| from(65_000).unwrap()).collect();
        assert!(many.iter().all(|it| *it >= 65_000) && many.iter().any(|it| *it != many[0]));
        assert_ne!(number().unwrap(), number().unwrap());
    }
}
