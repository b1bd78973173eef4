//! The numbers of a run that nobody is to foresee: a reply is believed by what it would take to guess them.

use anyhow::Context;

use crate::link::live::random;

/// Flow labels have 20 bits.
const LABELS: u32 = 1 << 20;

/// What nobody is to foresee of a run, beside the source port.
#[derive(Clone, Copy)]
pub(super) struct Randomness {
    pub key: u64,
    pub first_id: u16,
    pub flow_label: u32,
    /// What second probes, which confirm answers, are numbered by.
    pub seed: u32,
    /// A source port or identifier, for a link that has none of its own.
    pub ident: u16,
}

impl Randomness {
    pub fn of_kernel() -> anyhow::Result<Self> {
        let number = || random::number().context("cannot get random numbers");
        let first_id = random::from(1).context("cannot get random numbers")?;
        let flow_label = u32::try_from(number()? % u64::from(LABELS))?;
        let seed = u32::try_from(number()? >> 32)?;
        Ok(Self { key: number()?, first_id, flow_label, seed, ident: 0 })
    }

    /// The random values of a simulated network, the same each time.
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (key, flow_label) = (rng.u64(..), rng.u32(..LABELS));
        let (first_id, ident) = (rng.u16(1..), rng.u16(1_024..));
        Self { key, first_id, flow_label, seed: rng.u32(..), ident }
    }
}
