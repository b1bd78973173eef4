//! Two sequences of hops laid beside each other, so that a router that was put in or taken out moves those beyond it
//! and changes none of them: the longest common subsequence, by how much two hops have in common
//! (Needleman and Wunsch 1970, without a penalty for gaps).

/// How alike two hops are. Those that share nothing may still stand side by side: one in the place of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// They share a router.
    Same,
    /// Neither answers.
    BothSilent,
    /// Anything else.
    Other,
}

impl Likeness {
    /// More than any number of lesser ones that it could be exchanged for side by side.
    fn weight(self) -> u32 {
        match self {
            Self::Same => 8,
            Self::BothSilent => 3,
            Self::Other => 1,
        }
    }
}

/// Which of the first sequence stands beside which of the second, in order; `None` where there is none.
pub type Beside = (Option<usize>, Option<usize>);

/// Lays a sequence of `n` beside one of `m`.
#[must_use]
pub fn align(n: usize, m: usize, alike: impl Fn(usize, usize) -> Likeness) -> Vec<Beside> {
    // best[i][j]: of what is left of the first from i on and of the second from j on.
    let mut best = vec![vec![0_u32; m + 1]; n + 1];
    let together =
        |best: &[Vec<u32>], i: usize, j: usize| best[i + 1][j + 1] + alike(i, j).weight();
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            best[i][j] = together(&best, i, j).max(best[i + 1][j]).max(best[i][j + 1]);
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut beside = Vec::new();
    while i < n || j < m {
        let both = i < n && j < m;
        if both && best[i][j] == together(&best, i, j) {
            beside.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if i < n && (j == m || best[i][j] == best[i + 1][j]) {
            beside.push((Some(i), None));
            i += 1;
        } else {
            beside.push((None, Some(j)));
            j += 1;
        }
    }
    beside
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter is a router, `*` a silent one, `-` a gap.
    fn aligned(before: &str, after: &str) -> [String; 2] {
        let (before, after): (Vec<_>, Vec<_>) = (before.chars().collect(), after.chars().collect());
        let beside = align(before.len(), after.len(), |i, j| match (before[i], after[j]) {
            ('*', '*') => Likeness::BothSilent,
            (one, other) if one == other => Likeness::Same,
            _ => Likeness::Other,
        });
        let row = |of: &[char], index: Option<usize>| index.map_or('-', |index| of[index]);
        [
            beside.iter().map(|it| row(&before, it.0)).collect(),
            beside.iter().map(|it| row(&after, it.1)).collect(),
        ]
    }

    #[test]
    fn hops_behind_one_that_was_removed_or_added_are_only_moved() {
        for [before, after] in [
            ["abcdef", "abcdef"],
            ["abcdef", "abc-ef"],
            ["ab-def", "abcdef"],
            ["abcdef", "abxdef"],
            ["ab*def", "abcdef"],
            ["abc*ef", "ab-*ef"],
            ["abcd-f", "abxyzf"],
            ["abcd--", "abcdef"],
            ["", ""],
        ] {
            let bare = |row: &str| row.replace('-', "");
            assert_eq!(aligned(&bare(before), &bare(after)), [before, after]);
        }
    }
}
