//! Where in a text quotes, braces and the like stand, sixty-four bytes at a time.
//!
//! The compiler does not find the instructions for this by itself, and those that every x86-64 has are half as fast as
//! what most have; so [`each_block`] asks the machine what it can do. A bit stands for a byte, the lowest for the first.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x64};

/// Bytes that are looked at at once.
pub(super) const BLOCK: usize = 64;

/// Where the bytes that matter stand in one block.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    /// `"`
    pub(super) quotes: u64,
    /// `{`
    pub(super) opens: u64,
    /// `}`
    pub(super) closes: u64,
    /// `S`: in JSON of CloudTrail's it is rare, and stands in `eventSource`.
    pub(super) esses: u64,
    /// `\`
    pub(super) has_backslash: bool,
}

/// Whoever looks at a text block by block.
pub(super) trait Visitor {
    /// Looks at the block that begins at `at`, and tells whether to go on. The last one is filled up with blanks.
    ///
    /// To be inlined always, into code for what the machine can do.
    fn block(&mut self, at: usize, block: &[u8; BLOCK], marks: Marks) -> bool;
}

/// Shows `text` to `visitor`, until that has seen enough.
pub(super) fn each_block(text: &[u8], visitor: &mut impl Visitor) {
    let level = Level::new();
    dispatch!(level, simd => blocks(simd, text, visitor));
}

#[inline(always)]
fn blocks<S: Simd>(simd: S, text: &[u8], visitor: &mut impl Visitor) {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (number, block) in blocks.iter().enumerate() {
        if !visitor.block(number * BLOCK, block, marks(simd, block)) {
            return;
        }
    }
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    visitor.block(blocks.len() * BLOCK, &last, marks(simd, &last));
}

#[inline(always)]
fn marks<S: Simd>(simd: S, block: &[u8; BLOCK]) -> Marks {
    let bytes = u8x64::from_slice(simd, block);
    Marks {
        quotes: bytes.simd_eq(b'"').to_bitmask(),
        opens: bytes.simd_eq(b'{').to_bitmask(),
        closes: bytes.simd_eq(b'}').to_bitmask(),
        esses: bytes.simd_eq(b'S').to_bitmask(),
        has_backslash: bytes.simd_eq(b'\\').any_true(),
    }
}

/// Bits that stand at or behind an odd number of those in `bits`: between the quotes of strings, if bits are quotes.
pub(super) fn between(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |bits, by| bits ^ (bits << by))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What was shown, bit by bit.
    #[derive(Default)]
    struct Seen(Vec<(usize, [u64; 4], bool, Vec<u8>)>);

    impl Visitor for Seen {
        fn block(&mut self, at: usize, block: &[u8; BLOCK], marks: Marks) -> bool {
            let Marks { quotes, opens, closes, esses, has_backslash } = marks;
            self.0.push((at, [quotes, opens, closes, esses], has_backslash, block.to_vec()));
            true
        }
    }

    proptest! {
        #[test]
        fn marks_stand_where_the_bytes_do(text in prop::collection::vec(prop::sample::select(b"\"{}S\\ sz\x7f\xe9".to_vec()), 0..300)) {
            let mut seen = Seen::default();
            each_block(&text, &mut seen);
            let mut shown = Vec::new();
            for (at, masks, has_backslash, block) in seen.0 {
                prop_assert_eq!(at, shown.len());
                for (mask, byte) in masks.into_iter().zip(*b"\"{}S") {
                    let bits = block.iter().rev().fold(0, |bits, other| bits << 1 | u64::from(*other == byte));
                    prop_assert_eq!(mask, bits);
                }
                prop_assert_eq!(has_backslash, block.contains(&b'\\'));
                shown.extend(block);
            }
            prop_assert!(shown.starts_with(&text) && shown[text.len()..].iter().all(|byte| *byte == b' '));
        }

        #[test]
        fn between_is_what_lies_between(bits in any::<u64>()) {
            for bit in 0..64 {
                let before = (bits & (u64::MAX >> (63 - bit))).count_ones();
                prop_assert_eq!(between(bits) >> bit & 1, u64::from(before % 2));
            }
        }
    }
}
